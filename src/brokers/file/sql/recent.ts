import { ECHO_BYTES, ECHO_SPAN } from "../protocol.ts";
import type { MessageRow } from "./deliveries.ts";
import type { Lane } from "./model.ts";

/** Rows kept for one lane, and bytes of bodies kept for all. */
const MAX_ROWS = 16_384;
const MAX_BYTES = 8 * 1024 * 1024;

/** A message of this process. */
export class RecentRow implements MessageRow {
  readonly seq: number;
  readonly stored_at: number;
  readonly deliver_at: number | null;
  readonly partition_key: string | null;
  readonly attributes: string;
  readonly headers: string | null;
  readonly body: Uint8Array;
  crc = 0;
  isEcho = false;

  constructor(row: Omit<MessageRow, "crc">) {
    this.seq = row.seq;
    this.stored_at = row.stored_at;
    this.deliver_at = row.deliver_at;
    this.partition_key = row.partition_key;
    this.attributes = row.attributes;
    this.headers = row.headers;
    this.body = row.body;
  }
}

interface Tail {
  /** Everything of the lane after this position is in `rows`. */
  from: number;
  readonly rows: RecentRow[];
}

/**
 * The latest messages of this process, so that a consumer that keeps up is served without reading them back. Only as long
 * as nobody else writes: whoever clears it need not say why.
 */
export class Recent {
  readonly #tails = new Map<Lane, Tail>();
  #bytes = 0;
  #last = 0;

  /** A message was appended; the one before it in the lane had the position `before`. */
  add(lane: Lane, row: RecentRow, before: number): void {
    this.#last = row.seq;
    this.#bytes += row.body.byteLength + row.attributes.length;
    if (this.#bytes > MAX_BYTES) {
      this.clear();
      this.#bytes = row.body.byteLength + row.attributes.length;
    }
    let tail = this.#tails.get(lane);
    if (tail === undefined) this.#tails.set(lane, (tail = { from: before, rows: [] }));
    if (tail.rows.length >= MAX_ROWS) {
      tail.from = (tail.rows[MAX_ROWS / 2 - 1] as RecentRow).seq;
      for (const gone of tail.rows.splice(0, MAX_ROWS / 2))
        this.#bytes -= gone.body.byteLength + gone.attributes.length;
    }
    tail.rows.push(row);
  }

  /** A message was appended that the side that published it does not have: the lane is read back from the store. */
  leaveOut(lane: Lane, seq: number): void {
    this.#last = seq;
    for (const gone of this.#tails.get(lane)?.rows ?? [])
      this.#bytes -= gone.body.byteLength + gone.attributes.length;
    this.#tails.delete(lane);
  }

  /** What follows a position, up to another; undefined when that has to be read. */
  read(lane: Lane, after: number, through: number, limit: number): readonly MessageRow[] | undefined {
    const tail = this.#tails.get(lane);
    if (tail === undefined || after < tail.from) return undefined;
    const first = firstAfter(tail.rows, after);
    let end = Math.min(tail.rows.length, first + limit);
    while (end > first && (tail.rows[end - 1] as RecentRow).seq > through) end--;
    return tail.rows.slice(first, end);
  }

  /** True while the side that published has the message too. */
  isEcho(row: MessageRow): boolean {
    if (!(row instanceof RecentRow)) return false;
    return row.seq > this.#last - ECHO_SPAN && row.body.byteLength <= ECHO_BYTES;
  }

  clear(): void {
    if (this.#tails.size > 0) this.#tails.clear();
    this.#bytes = 0;
  }
}

function firstAfter(rows: readonly MessageRow[], seq: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle] as RecentRow).seq <= seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
