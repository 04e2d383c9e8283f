import type { StoredEnvelope } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";

interface Slot {
  readonly sequence: number;
  readonly storedAt: number;
  readonly envelope: Envelope;
}

/** Told of every change of what a log holds. */
export type Account = (messages: number, bytes: number) => void;

/**
 * What a channel retains for replay and for dead letters, handled or not: the last `limit` envelopes, and with a retention
 * every envelope that is younger than it.
 */
export class ChannelLog {
  readonly #limit: number;
  #account: Account;
  #retentionMs: number | undefined;
  #slots: (Slot | undefined)[] = [];
  #head = 0;
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
    return this.#slots.length - this.#head - this.#erased;
  }

  /** Bytes of the bodies retained. */
  get bytes(): number {
    return this.#bytes;
  }

  append(envelope: Envelope, sequence: number, now: number): void {
    if (this.#limit === 0 && this.#retentionMs === undefined) return;
    this.#slots.push({ sequence, storedAt: now, envelope });
    this.#change(1, envelope.body.byteLength);
    this.expire(now);
  }

  /** Lets go of what the limits no longer keep. */
  expire(now: number): void {
    while (this.#head < this.#slots.length) {
      const oldest = this.#slots[this.#head];
      if (oldest !== undefined && this.#keeps(oldest, now)) break;
      this.#dropHead();
    }
    if (this.#head > 64 && this.#head * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Lets go of the oldest envelope, retention or not; true when there was one. */
  dropOldest(): boolean {
    if (this.#head === this.#slots.length) return false;
    this.#dropHead();
    return true;
  }

  /** Takes one envelope out; true when it was there. */
  erase(sequence: number): boolean {
    const at = this.#firstAfter(sequence - 1);
    const slot = this.#slots[at];
    if (slot === undefined || slot.sequence !== sequence) return false;
    this.#slots[at] = undefined;
    this.#erased++;
    this.#change(-1, -slot.envelope.body.byteLength);
    return true;
  }

  clear(): number {
    const { length } = this;
    this.#slots = [];
    this.#head = 0;
    this.#erased = 0;
    this.#change(-length, -this.#bytes);
    return length;
  }

  /** Envelopes after a position, oldest first. */
  *after(sequence: number): Generator<StoredEnvelope & { readonly sequence: number }> {
    for (let at = this.#firstAfter(sequence); at < this.#slots.length; at++) {
      const slot = this.#slots[at];
      if (slot !== undefined) yield { envelope: slot.envelope, sequence: slot.sequence, position: String(slot.sequence) };
    }
  }

  #keeps(slot: Slot, now: number): boolean {
    if (this.#retentionMs !== undefined) return now - slot.storedAt < this.#retentionMs;
    return this.#slots.length - this.#head <= this.#limit;
  }

  #dropHead(): void {
    const slot = this.#slots[this.#head];
    if (slot === undefined) this.#erased--;
    else this.#change(-1, -slot.envelope.body.byteLength);
    this.#slots[this.#head++] = undefined;
  }

  #change(messages: number, bytes: number): void {
    this.#bytes += bytes;
    this.#account(messages, bytes);
  }

  /** Index of the first slot with a higher sequence. Erased slots are stepped over, so the search stays ordered. */
  #firstAfter(sequence: number): number {
    let low = this.#head;
    let high = this.#slots.length;
    while (low < high) {
      let middle = (low + high) >> 1;
      while (middle < high && this.#slots[middle] === undefined) middle++;
      if (middle === high) high = (low + high) >> 1;
      else if ((this.#slots[middle] as Slot).sequence <= sequence) low = middle + 1;
      else high = (low + high) >> 1;
    }
    while (low < this.#slots.length && this.#slots[low] === undefined) low++;
    return low;
  }
}
