import { systemClock } from "../../core/clock.ts";
import { createId } from "../../core/ids.ts";
import type {
  AppendResult,
  EventLog,
  KeptValue,
  KeyValueStore,
  LoggedEvent,
  StreamHead,
  Stores,
} from "../../core/store.ts";
import type { Engine } from "./engine.ts";
import type { StreamCommand, ValueCommand } from "./protocol.ts";

type Ask = <T>(command: StreamCommand | ValueCommand) => Promise<T>;

/** Event streams in the store of the messages: an append waits for the disk with whatever else does, in one transaction. */
class FileEventLog implements EventLog {
  readonly #engine: () => Engine;
  readonly #ask: Ask;

  constructor(engine: () => Engine, ask: Ask) {
    this.#engine = engine;
    this.#ask = ask;
  }

  append(
    stream: string,
    version: number,
    events: readonly Pick<LoggedEvent, "body" | "hash">[],
  ): Promise<AppendResult> {
    const bodies = events.map(({ body }) => body);
    const hashes = events.map(({ hash }) => hash);
    return this.#ask({ op: "streamAppend", stream, version, bodies, hashes });
  }

  read(stream: string, after: number, limit: number): Promise<readonly LoggedEvent[]> {
    return this.#ask({ op: "streamRead", stream, after, limit });
  }

  head(stream: string): Promise<StreamHead> {
    return this.#ask({ op: "streamHead", stream });
  }

  streams(): Promise<readonly string[]> {
    return this.#ask({ op: "streamNames" });
  }

  watch(listener: (stream: string) => void): () => void {
    return this.#engine().watchStreams(listener);
  }
}

class FileValues implements KeyValueStore {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  get(space: string, key: string): Promise<KeptValue | undefined> {
    return this.#ask({ op: "valueGet", space, key });
  }

  put(space: string, key: string, value: string, ifToken?: string | null): Promise<string | undefined> {
    const token = createId(systemClock.now());
    return this.#ask({ op: "valuePut", space, key, value, token, ifToken });
  }

  delete(space: string, key: string, ifToken?: string): Promise<boolean> {
    return this.#ask({ op: "valueDelete", space, key, ifToken });
  }

  keys(space: string): Promise<readonly string[]> {
    return this.#ask({ op: "valueKeys", space });
  }
}

/** The stores of one folder. `engine` throws `CLOSED` while the broker is not open. */
export class FileStores implements Stores {
  readonly events: EventLog;
  readonly values: KeyValueStore;

  constructor(engine: () => Engine) {
    const ask: Ask = async <T>(command: StreamCommand | ValueCommand) =>
      (await engine().command(command)) as T;
    this.events = new FileEventLog(engine, ask);
    this.values = new FileValues(ask);
  }
}
