import { HeraldError } from "../../src/core/errors.ts";
import type { EventLog, KeyValueStore, Stores } from "../../src/core/store.ts";

/** What is done otherwise. */
export interface Alterations {
  readonly events?: Partial<EventLog>;
  readonly values?: Partial<KeyValueStore>;
}

/** Stores that do what others do, but for what is given. */
export function altered({ events, values }: Stores, changes: Alterations): Stores {
  return {
    events: {
      append: (...given) => events.append(...given),
      read: (...given) => events.read(...given),
      head: (...given) => events.head(...given),
      streams: () => events.streams(),
      watch: (listener) => events.watch(listener),
      ...changes.events,
    },
    values: {
      get: (...given) => values.get(...given),
      put: (...given) => values.put(...given),
      delete: (...given) => values.delete(...given),
      keys: (...given) => values.keys(...given),
      ...changes.values,
    },
  };
}

/** Stores of a process that dies when it is told to, or after so many appends: nothing of it reaches them any more. */
export function mortal(
  { events, values }: Stores,
  life = Infinity,
): { readonly stores: Stores; readonly die: () => void } {
  let left = life;
  const alive = <T>(run: () => Promise<T>): Promise<T> =>
    left > 0 ? run() : Promise.reject(new HeraldError("CLOSED", "This process is dead."));
  const stores: Stores = {
    events: {
      append: (...given) => alive(() => (left--, events.append(...given))),
      read: (...given) => alive(() => events.read(...given)),
      head: (...given) => alive(() => events.head(...given)),
      streams: () => alive(() => events.streams()),
      watch: (listener) => events.watch(listener),
    },
    values: {
      get: (...given) => alive(() => values.get(...given)),
      put: (...given) => alive(() => values.put(...given)),
      delete: (...given) => alive(() => values.delete(...given)),
      keys: (...given) => alive(() => values.keys(...given)),
    },
  };
  return { stores, die: () => void (left = 0) };
}
