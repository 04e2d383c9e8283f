import type { Envelope } from "../../core/envelope.ts";
import { ECHO_BYTES } from "./protocol.ts";

/** A power of two, and more than the span that the thread reckons with: what it leaves out is surely here. */
const SLOTS = 8192;

/**
 * What this process has published last, by position. Its own consumers mostly read just that: it need not be sent back
 * from the thread and be read again. It is given out only after the thread has stored it and counted the delivery.
 */
export class Echo {
  readonly #positions = new Float64Array(SLOTS);
  readonly #envelopes: (Envelope | undefined)[] = Array.from({ length: SLOTS }, () => undefined);

  /** A message was stored. */
  add(position: number, envelope: Envelope): void {
    const slot = position % SLOTS;
    this.#positions[slot] = position;
    this.#envelopes[slot] = envelope.body.byteLength <= ECHO_BYTES ? envelope : undefined;
  }

  get(position: number): Envelope | undefined {
    const slot = position % SLOTS;
    return this.#positions[slot] === position ? this.#envelopes[slot] : undefined;
  }
}
