import type { Clock } from "../../core/clock.ts";
import { isHeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import { retryPolicy } from "../../delivery/retry.ts";
import { canonicalJson } from "../canonical.ts";
import type { EventStore } from "../events/event-store.ts";
import { applied, type SagaEvent, type SagaEvents, type SagaState } from "./model.ts";
import { takenOver } from "./saga-error.ts";

const AGAIN = retryPolicy({ maxAttempts: 8, backoff: { initialDelayMs: 50, maxDelayMs: 2000 } });

/** Which saga of which name. */
export interface SagaRef {
  readonly name: string;
  readonly id: string;
}

/** The stream of a saga. */
export function streamOf({ name, id }: SagaRef): string {
  return `saga.${name}.${id}`;
}

/**
 * What has happened to one saga, as one process knows it. Every entry is written behind the one before, or not at all: whoever
 * was taken over cannot write any more.
 */
export class Journal<D> {
  readonly ref: SagaRef;
  readonly #store: EventStore;
  readonly #clock: Clock;
  #version = 0;
  #state: SagaState<D>;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(store: EventStore, ref: SagaRef) {
    this.ref = ref;
    this.#store = store;
    this.#clock = store.clock;
    this.#state = { id: ref.id, status: "running", data: {} as D, input: {} as D, order: [], steps: {} };
  }

  get state(): SagaState<D> {
    return this.#state;
  }

  /** True when nothing has happened. */
  get isEmpty(): boolean {
    return this.#version === 0;
  }

  async load(): Promise<this> {
    for await (const event of this.#store.read(streamOf(this.ref), { fromVersion: this.#version + 1 })) {
      this.#state = applied(this.#state, event as unknown as SagaEvent);
      this.#version = event.version;
    }
    return this;
  }

  /** Keeps what has happened. Rejects with `CONFLICT` when another process has written: it runs the saga now. */
  write<T extends keyof SagaEvents>(type: T, data: SagaEvents[T]): Promise<void> {
    // What is read again later is what JSON makes of it: the same must be gone on with here.
    const plain = JSON.parse(canonicalJson(data)) as SagaEvents[T];
    const written = this.#turn.then(() => this.#write(type, plain));
    this.#turn = written.catch(() => undefined);
    return written;
  }

  async #write<T extends keyof SagaEvents>(type: T, data: SagaEvents[T]): Promise<void> {
    const event = { type, data, id: createId(this.#clock.now()) };
    for (let attempt = 1; ; attempt++) {
      try {
        const options = { expectedVersion: this.#version };
        ({ version: this.#version } = await this.#store.append(streamOf(this.ref), event, options));
        this.#state = applied(this.#state, { type, data } as SagaEvent);
        return;
      } catch (error) {
        if (!isHeraldError(error) || error.code === "CONFLICT") throw takenOver(this.ref.name, this.ref.id);
        // With the same id it is stored once, also if it is stored already and only the answer was lost.
        const delayMs = error.retryable ? AGAIN.delayAfter(attempt) : undefined;
        if (delayMs === undefined) throw error;
        await new Promise<void>((resolve) => void this.#clock.setTimer(delayMs, resolve));
      }
    }
  }
}
