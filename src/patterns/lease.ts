import type { Clock, TimerHandle } from "../core/clock.ts";
import type { KeyValueStore } from "../core/store.ts";

/** What a lease needs of where it stands. */
export type LeaseStore = Pick<KeyValueStore, "put" | "delete">;

/** Where a lease stands, and what stands there while it is held. */
export interface LeasePlace {
  readonly space: string;
  readonly key: string;
  readonly value: string;
}

/** How a lease is taken. */
export interface LeaseOptions {
  readonly clock: Clock;
  readonly leaseMs: number;
  /** The token that what stands there must have; null: nothing stands there. */
  readonly token: string | null;
}

/**
 * A process's hold on something that several could do. It is renewed three times a lease; one that stays as it is for a whole
 * lease, by the watch of whoever looks, is anybody's. So no two clocks are compared.
 */
export class Lease {
  /** Fires when it is another's, or nobody can tell any more that it is ours. */
  readonly lost: AbortSignal;
  readonly #losing = new AbortController();
  readonly #values: LeaseStore;
  readonly #place: LeasePlace;
  readonly #clock: Clock;
  readonly #leaseMs: number;
  #token: string;
  #renewedAt: number;
  #timer: TimerHandle | undefined;
  #renewing: Promise<void> = Promise.resolve();

  /** Takes what has this token. Undefined: it has another. */
  static async take(
    values: LeaseStore,
    place: LeasePlace,
    { clock, leaseMs, token }: LeaseOptions,
  ): Promise<Lease | undefined> {
    const startedAt = clock.monotonic();
    const taken = await values.put(place.space, place.key, place.value, token);
    return taken === undefined
      ? undefined
      : new Lease(values, place, { clock, leaseMs, token: taken, startedAt });
  }

  private constructor(
    values: LeaseStore,
    place: LeasePlace,
    held: {
      readonly clock: Clock;
      readonly leaseMs: number;
      readonly token: string;
      readonly startedAt: number;
    },
  ) {
    this.#values = values;
    this.#place = place;
    this.#clock = held.clock;
    this.#leaseMs = held.leaseMs;
    this.#token = held.token;
    this.#renewedAt = held.startedAt;
    this.lost = this.#losing.signal;
    this.#arm();
  }

  /** Lets go: nothing stands there any more (undefined), or what is given. False: another has taken it, and it is left to that one. */
  async end(value: string | undefined): Promise<boolean> {
    this.#timer?.cancel();
    await this.#renewing;
    this.#timer?.cancel();
    const { space, key } = this.#place;
    if (value === undefined) return this.#values.delete(space, key, this.#token);
    return (await this.#values.put(space, key, value, this.#token)) !== undefined;
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(this.#leaseMs / 3, () => {
      this.#renewing = this.#renew();
    });
  }

  async #renew(): Promise<void> {
    const startedAt = this.#clock.monotonic();
    const { space, key, value } = this.#place;
    try {
      const token = await this.#values.put(space, key, value, this.#token);
      if (token === undefined) {
        this.#losing.abort();
        return;
      }
      this.#token = token;
      this.#renewedAt = startedAt;
    } catch {
      // The store is away: as long as a lease lasts nobody else begins.
      if (this.#clock.monotonic() - this.#renewedAt >= this.#leaseMs) {
        this.#losing.abort();
        return;
      }
    }
    this.#arm();
  }
}
