import { ECHO, type DeliveryBlock } from "../protocol.ts";
import type { Member } from "./model.ts";

/** Most deliveries, and most bytes of their bodies, of one answer: reading it must not hold the other side for long. */
const MAX_COUNT = 256;
const MAX_BYTES = 4 * 1024 * 1024;

/** One message as it is stored. */
export interface MessageRow {
  readonly seq: number;
  readonly stored_at: number;
  readonly deliver_at: number | null;
  readonly partition_key: string | null;
  readonly attributes: string;
  readonly headers: string | null;
  readonly body: Uint8Array;
  readonly crc: number | null;
  /** It was read and is not what was written. */
  isDamaged?: boolean;
  /** The process that is asking has published it, and has it still. */
  isEcho?: boolean;
}

/** How a message is handed out. */
export interface Handing {
  /** The claim, or minus the token of an exception. */
  readonly ref: number;
  readonly attempt: number;
  readonly failures: string | null;
}

/** Collects what one turn hands out, as columns. */
export class Deliveries {
  readonly #members: number[] = [];
  readonly #counts: number[] = [];
  readonly #channels = new Map<string, number>();
  readonly #heads: string[] = [];
  #headers: (string | null)[] | null = null;
  #failures: (string | null)[] | null = null;
  readonly #numbers: number[] = [];
  readonly #bodies: Uint8Array[] = [];
  #bytes = 0;

  /** How many more fit. */
  get room(): number {
    return this.#bytes >= MAX_BYTES ? 0 : MAX_COUNT - this.#heads.length;
  }

  /** Bytes of bodies that still fit. */
  get roomBytes(): number {
    return Math.max(0, MAX_BYTES - this.#bytes);
  }

  get count(): number {
    return this.#heads.length;
  }

  add(member: Member, channel: string, row: MessageRow, { ref, attempt, failures }: Handing): void {
    const last = this.#members.length - 1;
    if (last >= 0 && this.#members[last] === member.id) (this.#counts[last] as number)++;
    else {
      this.#members.push(member.id);
      this.#counts.push(1);
    }
    let index = this.#channels.get(channel);
    if (index === undefined) this.#channels.set(channel, (index = this.#channels.size));
    const at = this.#heads.length;
    const bytes = row.isEcho === true ? ECHO : row.body.byteLength;
    this.#numbers.push(index, row.seq, ref, attempt, row.stored_at, bytes);
    if (failures !== null) (this.#failures ??= [])[at] = failures;
    if (bytes === ECHO) {
      this.#heads.push("");
      return;
    }
    // A line each on the way: JSON that another tool wrote may have several.
    this.#heads.push(row.crc === null ? row.attributes.replaceAll("\n", " ") : row.attributes);
    if (row.headers !== null) (this.#headers ??= [])[at] = row.headers;
    this.#bodies.push(row.body);
    this.#bytes += row.body.byteLength;
  }

  block(): DeliveryBlock | undefined {
    if (this.#heads.length === 0) return undefined;
    const bodies = new Uint8Array(this.#bytes);
    let at = 0;
    for (const body of this.#bodies) {
      bodies.set(body, at);
      at += body.byteLength;
    }
    return {
      members: this.#members,
      counts: this.#counts,
      channels: [...this.#channels.keys()],
      heads: this.#heads.join("\n"),
      headers: this.#headers,
      failures: this.#failures,
      numbers: Float64Array.from(this.#numbers),
      bodies,
    };
  }
}
