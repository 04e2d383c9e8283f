import type { StoredEnvelope } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";

interface Slot {
  readonly sequence: number;
  readonly storedAt: number;
  readonly envelope: Envelope;
}

/** Told of every change of what a log holds. */
export type Account = (messages: number, bytes: number) => void;

const FIRST_CAPACITY = 16;

/**
 * What a channel retains for replay and for dead letters, handled or not: the last `limit` envelopes, and with a retention
 * every envelope that is younger than it. A ring that is written in place: an array that is copied and thrown away would,
 * once it is old, keep everything it held alive until a full collection.
 */
export class ChannelLog {
  readonly #limit: number;
  #account: Account;
  #retentionMs: number | undefined;
  #slots: (Slot | undefined)[] = [];
  /** Positions in the ring, counted up without end: the oldest slot, and one after the latest. */
  #head = 0;
  #tail = 0;
  #bytes = 0;
  #erased = 0;

  constructor(limit: number, account: Account) {
    this.#limit = limit;
    this.#account = account;
  }

  /** How long every envelope is kept; undefined: only the last `limit` are. */
  get retentionMs(): number | undefined {
    return this.#retentionMs;
  }

  /** Keeps every envelope this long from now on, and counts what is held with `account`. */
  retain(retentionMs: number, account: Account): void {
    this.#account(-this.length, -this.#bytes);
    this.#retentionMs = retentionMs;
    this.#account = account;
    account(this.length, this.#bytes);
  }

  get length(): number {
    return this.#tail - this.#head - this.#erased;
  }

  /** Bytes of the bodies retained. */
  get bytes(): number {
    return this.#bytes;
  }

  append(envelope: Envelope, sequence: number, now: number): void {
    if (this.#limit === 0 && this.#retentionMs === undefined) return;
    if (this.#tail - this.#head === this.#slots.length) this.#grow();
    this.#slots[this.#index(this.#tail++)] = { sequence, storedAt: now, envelope };
    this.#change(1, envelope.body.byteLength);
    this.expire(now);
  }

  /** Lets go of what the limits no longer keep. */
  expire(now: number): void {
    while (this.#head < this.#tail) {
      const oldest = this.#slots[this.#index(this.#head)];
      if (oldest !== undefined && this.#keeps(oldest, now)) return;
      this.#dropHead();
    }
  }

  /** Lets go of the oldest envelope, retention or not; true when there was one. */
  dropOldest(): boolean {
    // What was erased has left a gap.
    while (this.#head < this.#tail && this.#slots[this.#index(this.#head)] === undefined) this.#dropHead();
    if (this.#head === this.#tail) return false;
    this.#dropHead();
    return true;
  }

  /** Takes one envelope out; true when it was there. */
  erase(sequence: number): boolean {
    const at = this.#firstAfter(sequence - 1);
    const slot = at < this.#tail ? this.#slots[this.#index(at)] : undefined;
    if (slot === undefined || slot.sequence !== sequence) return false;
    this.#slots[this.#index(at)] = undefined;
    this.#erased++;
    this.#change(-1, -slot.envelope.body.byteLength);
    return true;
  }

  clear(): number {
    const { length } = this;
    this.#slots = [];
    this.#head = 0;
    this.#tail = 0;
    this.#erased = 0;
    this.#change(-length, -this.#bytes);
    return length;
  }

  /** Envelopes after a position, oldest first. */
  *after(sequence: number): Generator<StoredEnvelope & { readonly sequence: number }> {
    for (let at = this.#firstAfter(sequence); at < this.#tail; at++) {
      const slot = this.#slots[this.#index(at)];
      if (slot !== undefined)
        yield { envelope: slot.envelope, sequence: slot.sequence, position: String(slot.sequence) };
    }
  }

  #keeps(slot: Slot, now: number): boolean {
    if (this.#retentionMs !== undefined) return now - slot.storedAt < this.#retentionMs;
    return this.#tail - this.#head <= this.#limit;
  }

  #dropHead(): void {
    const at = this.#index(this.#head++);
    const slot = this.#slots[at];
    if (slot === undefined) this.#erased--;
    else this.#change(-1, -slot.envelope.body.byteLength);
    this.#slots[at] = undefined;
  }

  #change(messages: number, bytes: number): void {
    this.#bytes += bytes;
    this.#account(messages, bytes);
  }

  #index(at: number): number {
    return at & (this.#slots.length - 1);
  }

  /** Doubles the ring: its size stays a power of two, so that an index is a mask away. */
  #grow(): void {
    const held = this.#tail - this.#head;
    const slots = Array.from<Slot | undefined>({ length: Math.max(FIRST_CAPACITY, this.#slots.length * 2) });
    for (let i = 0; i < held; i++) slots[i] = this.#slots[this.#index(this.#head + i)];
    this.#slots.fill(undefined);
    this.#slots = slots;
    this.#head = 0;
    this.#tail = held;
  }

  /** The first slot with a higher sequence, or the tail. Erased slots are stepped over, so the search stays ordered. */
  #firstAfter(sequence: number): number {
    let low = this.#head;
    let high = this.#tail;
    while (low < high) {
      const half = (low + high) >> 1;
      const middle = this.#live(half, high);
      if (middle < high && (this.#slots[this.#index(middle)] as Slot).sequence <= sequence) low = middle + 1;
      else high = half;
    }
    return this.#live(low, this.#tail);
  }

  /** The first slot at or after `from` that is not erased, or `end`. */
  #live(from: number, end: number): number {
    let at = from;
    while (at < end && this.#slots[this.#index(at)] === undefined) at++;
    return at;
  }
}
