import { randomUUID } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { HeraldError } from "../../core/errors.ts";
import type { Directory } from "./directory.ts";
import { decodeInfo, encodeInfo, type MemberInfo } from "./members.ts";

/** Kafka keeps what all say in one record, once for each of them: only what is short goes there. */
const MAX_SHORT_BYTES = 1024;
const PART_BYTES = 256 * 1024;
/** What nobody refers to for this long is of a process that died. */
const FORGOTTEN_MS = 600_000;
const SHORT = 0;

/** Where a long statement lies. */
interface Reference {
  readonly name: string;
  readonly parts: number;
}

/**
 * What processes say of themselves when they find each other. What is long is written to the directory, and what is said is where it
 * lies: some processes with a hundred thousand agents each say megabytes.
 */
export class Statements {
  readonly #directory: Directory;
  readonly #clock: Clock;
  readonly #me = randomUUID();
  #count = 0;

  constructor(directory: Directory, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** What is to be said. Rejects when it could not be written. */
  async say(info: MemberInfo): Promise<Buffer> {
    const bytes = encodeInfo(info);
    if (bytes.length <= MAX_SHORT_BYTES) return Buffer.concat([Buffer.from([SHORT]), bytes]);
    const name = `${this.#me}-${++this.#count}`;
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += PART_BYTES) parts.push(bytes.subarray(at, at + PART_BYTES));
    await this.#directory.putStatement(name, parts);
    const reference: Reference = { name, parts: parts.length };
    return Buffer.concat([Buffer.from([SHORT + 1]), Buffer.from(JSON.stringify(reference), "utf8")]);
  }

  /** What they have said. Rejects when one has said something else since. */
  async hear(all: ReadonlyMap<string, Buffer>): Promise<ReadonlyMap<string, MemberInfo>> {
    const references = new Map([...all].map(([id, said]) => [id, referenceIn(said)]));
    if ([...references.values()].some((one) => one !== undefined)) await this.#directory.caughtUp();
    const infos = new Map<string, MemberInfo>();
    for (const [id, said] of all) {
      const reference = references.get(id);
      infos.set(id, decodeInfo(reference === undefined ? said.subarray(1) : this.#read(reference)));
    }
    this.#tidy(new Set([...references.values()].flatMap((one) => one?.name ?? [])));
    return infos;
  }

  /** Takes back what this process has said. */
  async close(): Promise<void> {
    const own = [...this.#directory.statements.keys()].filter((name) => name.startsWith(this.#me));
    await this.#directory.dropStatements(own);
  }

  #read({ name, parts }: Reference): Buffer {
    const found = this.#directory.statements.get(name)?.parts ?? [];
    const all = found.filter((part) => part !== undefined);
    if (all.length === parts) return Buffer.concat(all);
    throw new HeraldError("CONFLICT", "A process has said something else since: all are asked again.");
  }

  /** Its own that were said before, and those of the dead, are of no use any more. */
  #tidy(used: ReadonlySet<string>): void {
    const before = this.#clock.now() - FORGOTTEN_MS;
    const over = [...this.#directory.statements].filter(
      ([name, { storedAt }]) => !used.has(name) && (name.startsWith(this.#me) || storedAt < before),
    );
    // What is not dropped now is dropped the next time.
    this.#directory.dropStatements(over.map(([name]) => name)).catch(() => undefined);
  }
}

function referenceIn(said: Buffer): Reference | undefined {
  return said[0] === SHORT ? undefined : (JSON.parse(said.toString("utf8", 1)) as Reference);
}
