import { LoggedIds } from "../shared/logged-ids.ts";
import { kafkaError } from "./errors.ts";
import type { Runtime } from "./runtime.ts";

const NOTHING = Buffer.alloc(0);

/** Handled ids in a topic that every process reads. `runtime` throws `CLOSED` while the broker is not open. */
export function kafkaHandledIds(runtime: () => Runtime, horizonMs: number): LoggedIds {
  return new LoggedIds(horizonMs, {
    async open(know) {
      const log = await runtime().openInbox(horizonMs, ({ key, storedAt }) => {
        if (key !== null) know(key.toString("utf8"), storedAt);
      });
      return { catchUp: () => log.caughtUp(), store: (key) => log.put([[key, NOTHING]]) };
    },
    now: () => runtime().cluster.clock.now(),
    error: kafkaError,
  });
}
