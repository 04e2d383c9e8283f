import type { SQLInputValue } from "node:sqlite";
import type { AppendResult, LoggedEvent, StreamHead } from "../../../core/store.ts";
import type { StreamCommand } from "../protocol.ts";
import type { Database, Statements } from "./database.ts";

/** Rows of one statement: to run one costs as much as to store three rows. */
const MANY = 16;
const ROW = "(?, ?, ?, ?)";
const INSERT = "INSERT INTO events(stream_id, version, body, hash) VALUES";
const SQL = {
  stream: "SELECT id, version, hash FROM streams WHERE name = ?",
  add: "INSERT INTO streams(name, version, hash, touched) VALUES (?, 0, '', 0) RETURNING id, version, hash",
  grow: "UPDATE streams SET version = ?, hash = ?, touched = ? WHERE id = ?",
  touched: "SELECT coalesce(max(touched), 0) AS touched FROM streams",
  since: "SELECT name, touched FROM streams WHERE touched > ? ORDER BY touched",
  names: "SELECT name FROM streams WHERE version > 0 ORDER BY name",
  insert: `${INSERT} ${ROW}`,
  insertMany: `${INSERT} ${Array.from({ length: MANY }, () => ROW).join(", ")}`,
  read: `SELECT e.version, e.body, e.hash FROM events e JOIN streams s ON s.id = e.stream_id
    WHERE s.name = ? AND e.version > ? ORDER BY e.version LIMIT ?`,
};

/** Bytes of one answer to a read, about. */
const READ_BYTES = 4 * 1024 * 1024;

interface StreamRow extends StreamHead {
  readonly id: number;
}

/** Event streams in the store: append behind a version, read, and what has grown for those who watch. */
export class Streams {
  /** Names of streams that have grown since they were last taken; nothing while nobody watches. */
  readonly grown: string[] = [];
  readonly #sql: Statements<typeof SQL>;
  #isWatched = false;
  /** The latest append that was told. */
  #told = 0;
  #toldBefore = 0;
  #hasNews = false;

  constructor(db: Database) {
    this.#sql = db.prepareAll(SQL);
  }

  run(command: StreamCommand): unknown {
    switch (command.op) {
      case "streamAppend":
        return this.#append(command);
      case "streamRead":
        return this.#read(command.stream, command.after, command.limit);
      case "streamHead":
        return this.#head(command.stream);
      case "streamNames":
        return this.#sql.names.all().map(({ name }) => name);
      case "streamWatch":
        return this.#watch(command.isOn);
    }
  }

  /** Looks which streams have grown, by this process or another. */
  look(): void {
    this.#toldBefore = this.#told;
    if (!this.#isWatched) return;
    for (const { name, touched } of this.#sql.since.iterate(this.#told)) {
      this.grown.push(name as string);
      this.#told = touched as number;
    }
  }

  /** True once after something was appended: others want to know. */
  hasNews(): boolean {
    const hasNews = this.#hasNews;
    this.#hasNews = false;
    return hasNews;
  }

  /** A transaction failed: what it appended is not there. */
  restore(): void {
    this.grown.length = 0;
    this.#told = this.#toldBefore;
    this.#hasNews = false;
  }

  #watch(isOn: boolean): void {
    if (isOn && !this.#isWatched) this.#told = this.#lastTouched();
    this.#isWatched = isOn;
  }

  #append(command: StreamCommand & { readonly op: "streamAppend" }): AppendResult {
    const { stream, version, bodies, hashes } = command;
    const known = this.#sql.stream.get(stream) as StreamRow | undefined;
    const at = known?.version ?? 0;
    if (at !== version || bodies.length === 0)
      return { isStored: at === version, head: { version: at, hash: known?.hash ?? "" } };
    const { id } = known ?? (this.#sql.add.get(stream) as unknown as StreamRow);
    this.#insert(id, command);
    const head = { version: version + bodies.length, hash: hashes.at(-1) as string };
    this.#sql.grow.run(head.version, head.hash, this.#lastTouched() + 1, id);
    this.#hasNews = true;
    return { isStored: true, head };
  }

  #insert(id: number, { version, bodies, hashes }: StreamCommand & { readonly op: "streamAppend" }): void {
    let at = 0;
    const next = (values: SQLInputValue[]): void => {
      values.push(id, version + at + 1, bodies[at] as string, hashes[at] as string);
      at++;
    };
    while (at + MANY <= bodies.length) {
      const values: SQLInputValue[] = [];
      for (let i = 0; i < MANY; i++) next(values);
      this.#sql.insertMany.run(...values);
    }
    while (at < bodies.length) {
      const values: SQLInputValue[] = [];
      next(values);
      this.#sql.insert.run(...values);
    }
  }

  #read(stream: string, after: number, limit: number): LoggedEvent[] {
    const found: LoggedEvent[] = [];
    let bytes = 0;
    for (const row of this.#sql.read.iterate(stream, after, limit)) {
      const event = row as unknown as LoggedEvent;
      // What this iterates over has no prototype, and is not sent to another thread as it is.
      found.push({ version: event.version, body: event.body, hash: event.hash });
      bytes += event.body.length;
      if (bytes > READ_BYTES) break;
    }
    return found;
  }

  #head(stream: string): StreamHead {
    const { version = 0, hash = "" } = (this.#sql.stream.get(stream) as StreamRow | undefined) ?? {};
    return { version, hash };
  }

  #lastTouched(): number {
    return (this.#sql.touched.get() as { touched: number }).touched;
  }
}
