import { HeraldError } from "../../core/errors.ts";
import type { StoredEvent } from "./event.ts";
import { checkVersion, type EventStore } from "./event-store.ts";

/** How events become a state. */
export interface Fold<S> {
  /** Names the snapshots of this state. */
  readonly name: string;
  /** The state before the first event. */
  readonly initial: () => S;
  /** The state after an event; given back, or changed in place and given back. */
  readonly apply: (state: S, event: StoredEvent) => S;
  /** A snapshot is taken when so many events have come since the last one. The state must then be JSON. Default: none. */
  readonly snapshotEvery?: number;
  /** To be changed with `apply`: snapshots of another revision are not used. Default 1. */
  readonly revision?: number;
}

/** A state, and the version of the stream that it is the state at. */
export interface StateAt<S> {
  readonly state: S;
  readonly version: number;
}

interface Snapshot<S> extends StateAt<S> {
  readonly hash: string;
  readonly revision: number;
}

/** The state that the events of one stream come to: now, or at any version that it has had. */
export class StreamState<S> {
  readonly #store: EventStore;
  readonly #stream: string;
  readonly #fold: Fold<S>;

  constructor(store: EventStore, stream: string, fold: Fold<S>) {
    this.#store = store;
    this.#stream = stream;
    this.#fold = fold;
  }

  /** The state now. Takes a snapshot where one is due. */
  async current(): Promise<StateAt<S>> {
    const snapshot = await this.#snapshot(Infinity);
    const found = await this.#read(snapshot, Infinity);
    const { snapshotEvery = Infinity } = this.#fold;
    if (found.version - (snapshot?.version ?? 0) >= snapshotEvery) await this.#keep(found);
    return { state: found.state, version: found.version };
  }

  /** The state as it was right after event `version`; 0: before the first. Rejects with `NOT_FOUND` beyond the last. */
  async stateAt(version: number): Promise<StateAt<S>> {
    checkVersion("version", version, 0);
    const { state, version: reached } = await this.#read(await this.#snapshot(version), version);
    if (reached !== version) throw beyond(this.#stream, version, reached);
    return { state, version };
  }

  async #read(snapshot: Snapshot<S> | undefined, toVersion: number): Promise<StateAt<S> & { hash: string }> {
    let state = snapshot === undefined ? this.#fold.initial() : snapshot.state;
    let { version, hash } = snapshot ?? { version: 0, hash: "" };
    for await (const event of this.#store.read(this.#stream, { fromVersion: version + 1, toVersion })) {
      state = this.#fold.apply(state, event);
      ({ version, hash } = event);
    }
    return { state, version, hash };
  }

  /** The snapshot that was taken last, if it is of this fold, of this very stream and not too new. */
  async #snapshot(most: number): Promise<Snapshot<S> | undefined> {
    if (this.#fold.snapshotEvery === undefined) return undefined;
    const { events, values } = this.#store.stores;
    const kept = await values.get(this.#space, this.#fold.name);
    if (kept === undefined) return undefined;
    const snapshot = JSON.parse(kept.value) as Snapshot<S>;
    if (snapshot.version > most || snapshot.revision !== (this.#fold.revision ?? 1)) return undefined;
    const [event] = await events.read(this.#stream, snapshot.version - 1, 1);
    return event?.hash === snapshot.hash ? snapshot : undefined;
  }

  async #keep({ state, version, hash }: StateAt<S> & { hash: string }): Promise<void> {
    const snapshot: Snapshot<S> = { state, version, hash, revision: this.#fold.revision ?? 1 };
    await this.#store.stores.values.put(this.#space, this.#fold.name, JSON.stringify(snapshot));
  }

  get #space(): string {
    return `snapshots.${this.#stream}`;
  }
}

function beyond(stream: string, version: number, last: number): HeraldError {
  const message = `Stream '${stream}' ends with version ${last}: it was never at version ${version}.`;
  return new HeraldError("NOT_FOUND", message, { details: { stream, version, last } });
}
