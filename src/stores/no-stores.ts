import { HeraldError } from "../core/errors.ts";
import type { Stores } from "../core/store.ts";

/** Stores of a broker that keeps none and has transactions for what is published: every call rejects with `UNSUPPORTED`. */
export function noStores(broker: string): Stores {
  const refuse = async (): Promise<never> => {
    const message = `The broker '${broker}' keeps no values and event streams: context.tx is there for what the handler publishes. Keep them on the file broker or Redis, or write through an Outbox of herald/patterns.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { broker } });
  };
  const watch = (): (() => void) => () => {};
  return {
    values: { get: refuse, put: refuse, delete: refuse, keys: refuse },
    events: { append: refuse, read: refuse, head: refuse, streams: refuse, watch },
  };
}
