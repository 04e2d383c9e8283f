import { checkPattern, matchPattern } from "../../core/pattern.ts";
import type { StoredEvent } from "./event.ts";
import type { EventStore } from "./event-store.ts";
import { Wakes } from "./wakes.ts";

/** What a projection makes of the events of some streams. */
export interface ProjectionOptions<S> {
  /** Names what is kept. Processes with projections of one name share it. */
  readonly name: string;
  /** The streams it reads: a name or a pattern (`order.*`, `order.#`). */
  readonly streams: string;
  /** The state before the first event. A JSON value, like every state after it. */
  readonly initial: () => S;
  /**
   * The state after an event. It may do something outside too: that is done again when the process ends before the state was
   * kept, so it goes by the event's id or by its stream and version.
   */
  readonly apply: (state: S, event: StoredEvent) => S | Promise<S>;
  /** To be changed with `apply`: what was kept of another revision is made anew. Default 1. */
  readonly revision?: number;
}

/** How far a projection has read: the version of every stream. */
export type Checkpoint = Readonly<Record<string, number>>;

interface Kept<S> {
  readonly state: S;
  readonly checkpoint: Checkpoint;
  readonly revision: number;
}

const SPACE = "projections";
/** Events that are applied between two times of keeping the state. */
const KEEP_EVERY = 500;

/**
 * A state made of the events of many streams, and kept. State and checkpoint are one value, written at once behind what
 * `apply` has done: a checkpoint is never ahead of its effects, whatever is killed. Of two processes that apply the same
 * events the first to write wins, and the other goes on from what it wrote.
 */
export class Projection<S> {
  readonly #store: EventStore;
  readonly #options: ProjectionOptions<S>;
  #state: S;
  #checkpoint: Record<string, number> = {};
  #token: string | null = null;
  #isLoaded = false;
  #turn: Promise<unknown> = Promise.resolve();

  /** Throws `INVALID_CHANNEL` for a pattern that is none. */
  constructor(store: EventStore, options: ProjectionOptions<S>) {
    checkPattern(options.streams);
    this.#store = store;
    this.#options = options;
    this.#state = options.initial();
  }

  /** What was made of the events so far; up to date after `catchUp()`. */
  get state(): S {
    return this.#state;
  }

  get checkpoint(): Checkpoint {
    return { ...this.#checkpoint };
  }

  /** Applies what is there now and keeps what comes of it. Rejects with what `apply` throws; the events come again then. */
  catchUp(): Promise<void> {
    return this.#inTurn(() => this.#catchUp());
  }

  /** Goes on applying what comes, until the signal fires. Rejects with what `apply` throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { streams } = this.#options;
    const { clock, stores } = this.#store;
    const wakes = new Wakes(stores.events, clock, (name) => matchPattern(streams, name));
    const stop = (): void => wakes.ring();
    signal.addEventListener("abort", stop);
    try {
      for (; !signal.aborted; await wakes.wait()) await this.catchUp();
    } finally {
      signal.removeEventListener("abort", stop);
      wakes.close();
    }
  }

  /** Forgets what was kept and makes it anew from the first event of every stream. */
  rebuild(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#store.stores.values.delete(SPACE, this.#options.name);
      this.#isLoaded = false;
      await this.#catchUp();
    });
  }

  #inTurn(run: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(run, run);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #catchUp(): Promise<void> {
    try {
      if (!this.#isLoaded) await this.#load();
      for (const stream of await this.#store.streams(this.#options.streams)) await this.#applyAll(stream);
    } catch (error) {
      // `apply` may have changed the state half: what was kept holds.
      this.#isLoaded = false;
      throw error;
    }
  }

  async #applyAll(stream: string): Promise<void> {
    for (;;) {
      const fromVersion = (this.#checkpoint[stream] ?? 0) + 1;
      const toVersion = fromVersion + KEEP_EVERY - 1;
      let version = fromVersion - 1;
      for await (const event of this.#store.read(stream, { fromVersion, toVersion })) {
        this.#state = await this.#options.apply(this.#state, event);
        ({ version } = event);
      }
      if (version < fromVersion) return;
      this.#checkpoint[stream] = version;
      await this.#keep();
    }
  }

  async #keep(): Promise<void> {
    const kept: Kept<S> = {
      state: this.#state,
      checkpoint: this.#checkpoint,
      revision: this.#options.revision ?? 1,
    };
    const { values } = this.#store.stores;
    const token = await values.put(SPACE, this.#options.name, JSON.stringify(kept), this.#token);
    if (token === undefined) await this.#load();
    else this.#token = token;
  }

  async #load(): Promise<void> {
    const found = await this.#store.stores.values.get(SPACE, this.#options.name);
    const kept = found === undefined ? undefined : (JSON.parse(found.value) as Kept<S>);
    const isOurs = kept?.revision === (this.#options.revision ?? 1);
    this.#token = found?.token ?? null;
    this.#state = isOurs ? kept.state : this.#options.initial();
    this.#checkpoint = isOurs ? { ...kept.checkpoint } : {};
    this.#isLoaded = true;
  }
}
