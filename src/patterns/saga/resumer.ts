import type { Clock, TimerHandle } from "../../core/clock.ts";
import { isHeraldError, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { KeyValueStore } from "../../core/store.ts";
import { entriesOf, entryStatus } from "./lease.ts";

/** What a resumer goes by. */
export interface ResumerOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly values: KeyValueStore;
  readonly isOurs: (id: string) => boolean;
  /** Goes on with a saga whose entry has this token. */
  readonly resume: (id: string, token: string) => Promise<void>;
}

/** Finds sagas whose process is gone: entries that are free, and entries that nobody has renewed for a whole lease. */
export class Resumer {
  readonly #options: ResumerOptions;
  /** Entries as they were first seen, and when, by this process's own watch. */
  readonly #seen = new Map<string, { readonly token: string; readonly at: number }>();
  #timer: TimerHandle | undefined;
  #looking: Promise<unknown> = Promise.resolve();
  #isStarted = false;

  constructor(options: ResumerOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    void this.#lookOn();
  }

  stop(): void {
    this.#isStarted = false;
    this.#timer?.cancel();
  }

  /** Looks once; resolves to how many sagas were taken. */
  look(): Promise<number> {
    const looked = this.#looking.then(() => this.#look());
    this.#looking = looked.catch(() => undefined);
    return looked;
  }

  async #lookOn(): Promise<void> {
    try {
      await this.look();
    } catch (error) {
      this.#fault(error);
    }
    if (this.#isStarted)
      this.#timer = this.#options.clock.setTimer(this.#options.leaseMs / 3, () => void this.#lookOn());
  }

  async #look(): Promise<number> {
    const { name, values, isOurs, resume } = this.#options;
    const ids = await values.keys(entriesOf(name));
    for (const id of this.#seen.keys()) if (!ids.includes(id)) this.#seen.delete(id);
    let taken = 0;
    for (const id of ids) {
      const entry = isOurs(id) ? undefined : await values.get(entriesOf(name), id);
      if (entry === undefined || !this.#isAnybodys(id, entry)) continue;
      this.#seen.delete(id);
      taken++;
      // Others may have taken it a moment before, and what it comes to is kept with it.
      resume(id, entry.token).catch((error: unknown) => {
        if (!isHeraldError(error) || error.code !== "CONFLICT") this.#fault(error);
      });
    }
    return taken;
  }

  #isAnybodys(id: string, { token, value }: { readonly token: string; readonly value: string }): boolean {
    const status = entryStatus(value);
    if (status !== "held") return status === "free";
    const now = this.#options.clock.monotonic();
    const seen = this.#seen.get(id);
    if (seen?.token === token) return now - seen.at >= this.#options.leaseMs;
    this.#seen.set(id, { token, at: now });
    return false;
  }

  #fault(error: unknown): void {
    emit("fault", () => ({ agent: null, where: `saga ${this.#options.name}`, error: toHeraldError(error) }));
  }
}
