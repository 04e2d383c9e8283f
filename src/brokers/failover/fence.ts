import type { Broker } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import { spoolOf } from "./handover.ts";

interface FencedChannel {
  /** Null: every key. */
  keys: Set<string> | null;
  /** Publishes to the fallback that have not been answered. */
  inFlight: number;
  /** Counts publishes to the fallback, so that a look that one overtook proves nothing. */
  entered: number;
  hold:
    | { readonly released: Promise<void>; readonly release: () => void; readonly endsAt: number }
    | undefined;
  /** No hold before this. */
  nextHoldAt: number;
  backoffMs: number;
}

/** More keys than this of one channel, and the whole channel is fenced. */
const MAX_KEYS = 10_000;
/** A channel with less than this left is about to be clean: what is published of its keys waits for that moment. */
const HOLD_BELOW = 2000;
const HOLD_MS = 1000;
const MAX_BACKOFF_MS = 30_000;

/**
 * Keys of which the fallback still holds messages. A newer message of such a key goes to the fallback too, or it would
 * overtake them. A channel is clean again when no group of the fallback has anything of it left.
 */
export class KeyFence {
  readonly #fallback: Broker;
  readonly #monotonic: () => number;
  readonly #channels = new Map<string, FencedChannel>();

  constructor(fallback: Broker, monotonic: () => number) {
    this.#fallback = fallback;
    this.#monotonic = monotonic;
  }

  get isEmpty(): boolean {
    return this.#channels.size === 0;
  }

  /** Fences all of a channel: what it holds was written by somebody else. */
  add(channel: string): void {
    this.#channel(channel).keys = null;
  }

  /** These go to the fallback now. Keyless messages have no order to keep. */
  enter(envelopes: readonly Envelope[]): void {
    for (const { channel, key } of envelopes) {
      if (key === undefined) continue;
      const fenced = this.#channel(channel);
      fenced.inFlight++;
      fenced.entered++;
      fenced.keys?.add(key);
      if ((fenced.keys?.size ?? 0) > MAX_KEYS) fenced.keys = null;
    }
  }

  /** The fallback has answered. */
  leave(envelopes: readonly Envelope[]): void {
    for (const { channel, key } of envelopes) {
      const fenced = key === undefined ? undefined : this.#channels.get(channel);
      if (fenced !== undefined) fenced.inFlight--;
    }
  }

  covers({ channel, key }: Envelope): boolean {
    if (key === undefined) return false;
    const fenced = this.#channels.get(channel);
    return fenced !== undefined && (fenced.keys === null || fenced.keys.has(key));
  }

  /** Resolves when a channel that is about to be clean is clean, or after a moment; undefined: nothing to wait for. */
  waitFor(envelopes: readonly Envelope[]): Promise<void> | undefined {
    for (const envelope of envelopes) {
      if (!this.covers(envelope)) continue;
      const released = this.#channels.get(envelope.channel)?.hold?.released;
      if (released !== undefined) return released;
    }
    return undefined;
  }

  /** Looks which channels are clean by now. Rejects with what the fallback's `inspect` rejects with. */
  async sweep(): Promise<void> {
    const before = new Map([...this.#channels].map(([name, { entered }]) => [name, entered]));
    const asked = [...before.keys()].flatMap((channel) => [channel, spoolOf(channel)]);
    const report = await this.#fallback.inspect({ channels: asked });
    const lags = new Map(
      report.channels.map(({ channel, groups }) => [
        channel,
        groups.reduce((sum, { lag }) => sum + (lag ?? 0), 0),
      ]),
    );
    const left = new Map(
      [...before.keys()].map((channel) => [
        channel,
        (lags.get(channel) ?? 0) + (lags.get(spoolOf(channel)) ?? 0),
      ]),
    );
    for (const [name, entered] of before) {
      const fenced = this.#channels.get(name);
      if (fenced !== undefined) this.#judge(name, fenced, { left: left.get(name) ?? 0, entered });
    }
  }

  /** Nobody waits for a channel to be clean any more: nobody looks whether it is. */
  letGo(): void {
    for (const fenced of this.#channels.values()) {
      fenced.hold?.release();
      fenced.hold = undefined;
    }
  }

  #judge(
    name: string,
    fenced: FencedChannel,
    found: { readonly left: number; readonly entered: number },
  ): void {
    if (found.left === 0 && fenced.inFlight === 0 && fenced.entered === found.entered) {
      this.#channels.delete(name);
      fenced.hold?.release();
      return;
    }
    const now = this.#monotonic();
    if (fenced.hold !== undefined) {
      if (now < fenced.hold.endsAt) return;
      // Something holds it up, a retry that waits for example: publishers go on meanwhile.
      fenced.hold.release();
      fenced.hold = undefined;
      fenced.nextHoldAt = now + fenced.backoffMs;
      fenced.backoffMs = Math.min(fenced.backoffMs * 2, MAX_BACKOFF_MS);
    } else if (found.left < HOLD_BELOW && now >= fenced.nextHoldAt) {
      const { promise, resolve } = Promise.withResolvers<void>();
      fenced.hold = { released: promise, release: resolve, endsAt: now + HOLD_MS };
    }
  }

  #channel(name: string): FencedChannel {
    let fenced = this.#channels.get(name);
    if (fenced === undefined) {
      fenced = {
        keys: new Set(),
        inFlight: 0,
        entered: 0,
        hold: undefined,
        nextHoldAt: -Infinity,
        backoffMs: HOLD_MS,
      };
      this.#channels.set(name, fenced);
    }
    return fenced;
  }
}
