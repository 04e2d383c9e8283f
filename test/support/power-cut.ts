import { execFileSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import {
  FRAME_HEADER_BYTES,
  WAL_HEADER_BYTES,
  frameChecksum,
  readFrameHeader,
  readWalHeader,
  same,
  type Checksum,
} from "../../src/brokers/file/storage/wal-format.ts";

const FRAME_BYTES = FRAME_HEADER_BYTES + 4096;

/** What lies on the disk between two checkpoints: a database that does not change, and a log that grows. */
interface Generation {
  readonly salt: bigint;
  /** A copy of the database as it was when this log began. */
  readonly base: string;
  readonly bigEndian: boolean;
  /** As long as it ever was; `bytes` of it are the log. */
  log: Buffer;
  bytes: number;
  chain: Checksum;
}

/** A moment at which the power may go: so many bytes of the log of a generation are on the disk. */
export interface Moment {
  readonly generation: number;
  readonly bytes: number;
}

/**
 * Records what a broker has on the disk while it works, so that the disk can be made again as it was at any moment. The log
 * is only read; the database is copied by another process, since closing it in here would give up SQLite's locks.
 */
export class DiskRecorder {
  readonly #directory: string;
  readonly #scratch: string;
  readonly #generations: Generation[] = [];

  constructor(directory: string, scratch: string) {
    this.#directory = directory;
    this.#scratch = scratch;
    mkdirSync(scratch, { recursive: true });
  }

  /** Takes in what was written since; the moment now. */
  record(): Moment {
    const handle = openSync(path.join(this.#directory, "herald.db-wal"), "r");
    try {
      const head = Buffer.alloc(WAL_HEADER_BYTES);
      readSync(handle, head, 0, WAL_HEADER_BYTES, 0);
      if (this.#generations.at(-1)?.salt !== readWalHeader(head).salt) this.#begin(head);
      const generation = this.#generations.at(-1) as Generation;
      const added = Buffer.alloc(Math.max(0, fstatSync(handle).size - generation.bytes));
      const read = readSync(handle, added, 0, added.length, generation.bytes);
      grow(generation, added.subarray(0, read));
      return { generation: this.#generations.length - 1, bytes: generation.bytes };
    } finally {
      closeSync(handle);
    }
  }

  /** The moment at which all of a generation was written, for each. */
  get ends(): Moment[] {
    return this.#generations.map(({ bytes }, generation) => ({ generation, bytes }));
  }

  /** Makes the disk in `directory` as it was at a moment. */
  restore({ generation, bytes }: Moment, directory: string): void {
    const { base, log } = this.#generations[generation] as Generation;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    copyFileSync(base, path.join(directory, "herald.db"));
    writeFileSync(path.join(directory, "herald.db-wal"), log.subarray(0, bytes), { mode: 0o600 });
  }

  #begin(head: Buffer): void {
    const base = path.join(this.#scratch, `base-${this.#generations.length}.db`);
    execFileSync("cp", ["-p", path.join(this.#directory, "herald.db"), base]);
    const { salt, bigEndian, checksum } = readWalHeader(head);
    this.#generations.push({
      salt,
      base,
      bigEndian,
      log: Buffer.from(head),
      bytes: head.length,
      chain: checksum,
    });
  }
}

/** Takes in whole frames of this generation only: one may be half written, and behind them lie those of one before. */
function grow(generation: Generation, added: Buffer): void {
  let end = 0;
  for (; end + FRAME_BYTES <= added.length; end += FRAME_BYTES) {
    const frame = added.subarray(end, end + FRAME_BYTES);
    const { salt, stored } = readFrameHeader(frame, 0);
    const computed = frameChecksum(frame, generation.chain, generation.bigEndian);
    if (salt !== generation.salt || !same(computed, stored)) break;
    generation.chain = computed;
  }
  if (generation.bytes + end > generation.log.length) {
    const larger = Buffer.alloc(2 * (generation.bytes + end));
    generation.log.copy(larger);
    generation.log = larger;
  }
  added.copy(generation.log, generation.bytes, 0, end);
  generation.bytes += end;
}
