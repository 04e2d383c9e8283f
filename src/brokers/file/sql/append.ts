import type { SQLInputValue } from "node:sqlite";
import { toHeraldError, HeraldError } from "../../../core/errors.ts";
import type { ErrorShape, PublishAnswer, PublishBlock, StoredRun } from "../protocol.ts";
import type { Cursors } from "./cursors.ts";
import type { Database, Statements } from "./database.ts";
import { shapeOf } from "./shape.ts";
import { Messages } from "./messages.ts";
import type { Lane } from "./model.ts";
import { checksum } from "./quarantine.ts";
import { RecentRow, type Recent } from "./recent.ts";
import type { StoreTime } from "./time.ts";
import type { Topology } from "./topology.ts";

/** Rows of one statement: to run one costs as much as to store three rows. */
const MANY = 16;
const ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)";
const INSERT =
  "INSERT INTO messages(seq, lane_id, stored_at, deliver_at, partition_key, attributes, headers, body, crc) VALUES";
const SQL = {
  insert: `${INSERT} ${ROW}`,
  insertMany: `${INSERT} ${Array.from({ length: MANY }, () => ROW).join(", ")}`,
  grow: `UPDATE lanes SET last_seq = ?, first_seq = CASE first_seq WHEN 0 THEN ? ELSE first_seq END,
    appended = appended + ?, held = held + ? WHERE id = ?`,
  known: "SELECT seq, at FROM ids WHERE id = ?",
  remember:
    "INSERT INTO ids(id, seq, at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, at = excluded.at",
};

/** Replies are for one waiting caller: nobody replays them. */
export const TRANSIENT_PREFIX = "reply.";

/** What appending needs of the store. */
export interface AppendParts {
  readonly db: Database;
  readonly topology: Topology;
  readonly recent: Recent;
  readonly cursors: Cursors;
  readonly time: StoreTime;
  readonly dedupeWindowMs: number;
  readonly maxChannels: number;
  /** A lane has got messages. */
  readonly onGrown: (lane: Lane) => void;
}

/** Which messages of a block; `isEchoed`: whoever published them keeps them for a while. */
export interface Some {
  readonly from: number;
  readonly to: number;
  readonly isEchoed: boolean;
}

/** Writes messages to the log. */
export class Append {
  readonly #parts: AppendParts;
  readonly #sql: Statements<typeof SQL>;
  readonly #grown = new Map<Lane, { count: number; first: number }>();
  /** What is to be written, and to which lanes. */
  #rows: RecentRow[] = [];
  #lanes: Lane[] = [];

  constructor(parts: AppendParts) {
    this.#parts = parts;
    this.#sql = parts.db.prepareAll(SQL);
  }

  /** Stores a block in its order. `isEchoed`: whoever published it keeps it for a while. */
  append(block: PublishBlock, isEchoed = true): PublishAnswer | StoredRun {
    const messages = new Messages(block);
    return this.appendSome(messages, { from: 0, to: messages.count, isEchoed });
  }

  /** Stores those of a block from one to before another, in their order. */
  appendSome(messages: Messages, { from, to, isEchoed }: Some): PublishAnswer | StoredRun {
    const count = to - from;
    const positions = new Float64Array(count);
    const matched = new Int32Array(count);
    const known = new Uint8Array(count);
    let errors: (ErrorShape | undefined)[] | null = null;
    // Up, so that a replay from a time never leaves out what was stored after it.
    const at = Math.ceil(this.#parts.time.wall());
    for (let i = 0; i < count; i++) {
      try {
        const seq = this.#appendOne(messages, from + i, { at, isEchoed });
        positions[i] = Math.abs(seq);
        known[i] = seq < 0 ? 1 : 0;
        if (seq > 0) matched[i] = this.#matched;
      } catch (error) {
        // What this message cannot have, the others still can; an error of SQLite concerns all of them.
        if (!(error instanceof HeraldError)) throw error;
        (errors ??= [])[i] = shapeOf(toHeraldError(error));
      }
    }
    return errors === null
      ? shortened({ positions, matched, known, errors })
      : { positions, matched, known, errors };
  }

  #matched = 0;

  /** Makes the channels of some messages. Throws for one that there is no room for. */
  prepare(messages: Messages, from: number, to: number): void {
    const { topology, maxChannels } = this.#parts;
    for (let i = from; i < to; i++) {
      const name = messages.channel(i);
      if (!this.#isForNobody(name)) topology.channel(name, maxChannels);
    }
  }

  /** Writes what has been appended. Call it before anything that reads. */
  write(): void {
    const rows = this.#rows;
    let at = 0;
    for (; at + MANY <= rows.length; at += MANY) {
      const values: SQLInputValue[] = [];
      for (let i = at; i < at + MANY; i++) this.#bind(values, i);
      this.#sql.insertMany.run(...values);
    }
    for (; at < rows.length; at++) {
      const values: SQLInputValue[] = [];
      this.#bind(values, at);
      this.#sql.insert.run(...values);
    }
    this.#rows = [];
    this.#lanes = [];
  }

  /** Writes everything, and how far the lanes have grown. Call it once before the messages are served. */
  flush(): void {
    this.write();
    for (const [lane, { count, first }] of this.#grown) {
      this.#sql.grow.run(lane.lastSeq, first, count, count, lane.id);
      this.#parts.onGrown(lane);
    }
    this.#grown.clear();
  }

  /** A transaction failed. */
  forget(): void {
    this.#grown.clear();
    this.#rows = [];
    this.#lanes = [];
  }

  #bind(values: SQLInputValue[], at: number): void {
    const row = this.#rows[at] as RecentRow;
    values.push(
      row.seq,
      (this.#lanes[at] as Lane).id,
      row.stored_at,
      row.deliver_at,
      row.partition_key,
      row.attributes,
      row.headers,
      row.body,
      row.crc,
    );
  }

  /** A reply that nobody waits for is not kept. */
  #isForNobody(name: string): boolean {
    if (!name.startsWith(TRANSIENT_PREFIX)) return false;
    const { topology } = this.#parts;
    return !topology.channels.has(name) && topology.routeOf(name).length === 0;
  }

  /** Its position; negative: the position it got when it was stored before; 0: nobody waits for it and it is not kept. */
  #appendOne(messages: Messages, i: number, { at, isEchoed }: { at: number; isEchoed: boolean }): number {
    const { topology, maxChannels, dedupeWindowMs } = this.#parts;
    const { block } = messages;
    const name = messages.channel(i);
    const id = block.ids?.[i];
    if (id != null) {
      const seen = this.#sql.known.get(id) as { seq: number; at: number } | undefined;
      if (seen !== undefined && at - seen.at < dedupeWindowMs) return -seen.seq;
    }
    if (this.#isForNobody(name)) {
      this.#matched = 0;
      return 0;
    }
    const channel = topology.channel(name, maxChannels);
    const lane = topology.lane(channel, messages.priority(i));
    if (lane.lastSeq === 0) this.#parts.cursors.begin(lane);
    const seq = ++topology.seq;
    const row = new RecentRow({
      seq,
      stored_at: at,
      deliver_at: messages.deliverAt(i),
      partition_key: block.keys?.[i] ?? null,
      attributes: messages.head(i),
      headers: block.headers?.[i] ?? null,
      body: messages.body(i),
    });
    row.crc = checksum(row, lane.id);
    this.#rows.push(row);
    this.#lanes.push(lane);
    if (isEchoed) this.#parts.recent.add(lane, row, lane.lastSeq);
    else this.#parts.recent.leaveOut(lane, seq);
    if (id != null) this.#sql.remember.run(id, seq, at);
    lane.lastSeq = seq;
    if (lane.firstSeq === 0) lane.firstSeq = seq;
    const grown = this.#grown.get(lane);
    if (grown === undefined) this.#grown.set(lane, { count: 1, first: seq });
    else grown.count++;
    this.#matched = topology.route(channel).length;
    return seq;
  }
}

/** Mostly all messages of a block are stored in a row: that is two numbers. */
function shortened(answer: PublishAnswer): PublishAnswer | StoredRun {
  const { positions, matched, known } = answer;
  const [first = 0] = positions;
  for (let i = 0; i < positions.length; i++)
    if (positions[i] !== first + i || known[i] !== 0 || matched[i] !== matched[0]) return answer;
  return first === 0 ? answer : { first, matched: matched[0] ?? 0 };
}
