import type { HandledIds } from "../shared/claiming-inbox.ts";
import type { StreamInfo } from "./api.ts";
import { HeaderLines } from "./codec.ts";
import { isStreamMissing, natsError } from "./errors.ts";
import type { Runtime } from "./runtime.ts";

/** How long a count of the ids is believed. */
const COUNTED_MS = 1000;

/** Handled ids in a stream of their own, one message each that ends by its time. */
export class NatsHandledIds implements HandledIds {
  readonly #runtime: () => Runtime;
  readonly #kept: HeaderLines;
  #standing: Promise<void> | undefined;
  #count = 0;
  #countedAt = -Infinity;

  /** `runtime` throws `CLOSED` while the broker is not open. */
  constructor(runtime: () => Runtime, horizonMs: number) {
    this.#runtime = runtime;
    this.#kept = new HeaderLines().add("Nats-TTL", `${Math.max(1, Math.ceil(horizonMs / 1000))}s`);
  }

  async find(group: string, id: string): Promise<"done" | number> {
    try {
      await this.#stand();
      const { api, names } = this.#runtime().session;
      const found = await api.message(names.inbox, { last_by_subj: names.handled(group, id) });
      return found === undefined ? await this.#known() : "done";
    } catch (error) {
      if (isStreamMissing(error)) this.#standing = undefined;
      throw natsError(error);
    }
  }

  async record(group: string, id: string): Promise<void> {
    try {
      const { api, names } = this.#runtime().session;
      await api.store(names.handled(group, id), "", this.#kept);
      this.#count++;
    } catch (error) {
      throw natsError(error);
    }
  }

  #stand(): Promise<void> {
    this.#standing ??= this.#runtime()
      .storage.standInbox()
      .catch((error: unknown) => {
        this.#standing = undefined;
        throw error;
      });
    return this.#standing;
  }

  async #known(): Promise<number> {
    const { api, names, clock } = this.#runtime().session;
    const now = clock.monotonic();
    if (now - this.#countedAt > COUNTED_MS) {
      const { state } = await api.call<StreamInfo>(`STREAM.INFO.${names.inbox}`);
      this.#count = state.messages;
      this.#countedAt = now;
    }
    return this.#count;
  }
}
