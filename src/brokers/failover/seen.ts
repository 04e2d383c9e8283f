/** The two brokers of a failover broker. */
export type SideName = "primary" | "fallback";

/** Where an id was handed out, and whether it is done: small numbers, because every message passes here twice. */
const DONE = 2;

function codeOf(side: SideName): number {
  return side === "primary" ? 0 : 1;
}

const PER_GENERATION = 20_000;

/**
 * Ids that a group of this process has in hand or has handled lately, so that a message which both sides hold is handled
 * once. Bounded: two generations of ids, the older one forgotten when the younger is full.
 */
export class Seen {
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  /** Handled, and the side that it came from has not heard of it yet: it may come again from there. */
  readonly #unheard = new Map<string, SideName>();

  #hasFallback = false;

  /** An id is handed out. */
  out(id: string, side: SideName): void {
    this.#hasFallback ||= side === "fallback";
    this.#set(id, codeOf(side));
  }

  /** An id was acknowledged. */
  done(id: string, side: SideName): void {
    this.#set(id, codeOf(side) + DONE);
  }

  /** An id was given back: it may come again from anywhere. */
  forget(id: string): void {
    this.#young.delete(id);
    this.#old.delete(id);
  }

  /** The acknowledgment of an id did not get through. */
  unheard(id: string, side: SideName): void {
    this.#unheard.set(id, side);
    if (this.#unheard.size <= PER_GENERATION) return;
    for (const oldest of this.#unheard.keys()) {
      this.#unheard.delete(oldest);
      break;
    }
  }

  /** `done`: acknowledge it without handing it out. `running`: the other side's copy is in hand. Undefined: hand it out. */
  stateOf(id: string, side: SideName): "done" | "running" | undefined {
    // While the fallback gives nothing, which is nearly always, there is nothing to compare with.
    if (side === "primary" && !this.#hasFallback && this.#unheard.size === 0) return undefined;
    if (this.#unheard.size > 0 && this.#unheard.get(id) === side) return "done";
    const sighting = this.#young.get(id) ?? this.#old.get(id);
    if (sighting === undefined || sighting % DONE === codeOf(side)) return undefined;
    return sighting >= DONE ? "done" : "running";
  }

  #set(id: string, sighting: number): void {
    if (this.#young.size >= PER_GENERATION && !this.#young.has(id)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(id, sighting);
  }
}
