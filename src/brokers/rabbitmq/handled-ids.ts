import { LoggedIds } from "../shared/logged-ids.ts";
import { SharedLook } from "../../core/shared-look.ts";
import { rabbitError } from "./errors.ts";
import type { Runtime } from "./runtime.ts";

/** Handled ids in a stream that every process reads. `runtime` throws `CLOSED` while the broker is not open. */
export function rabbitHandledIds(runtime: () => Runtime, horizonMs: number): LoggedIds {
  const now = (): number => runtime().session.clock.now();
  return new LoggedIds(horizonMs, {
    async open(know) {
      const log = await runtime().openInbox(horizonMs, ({ name, at }) => know(name, at));
      const looks = new SharedLook(() => log.append());
      return {
        catchUp: () => looks.look(),
        async store(name) {
          const at = now();
          await log.store({ name, at });
          know(name, at);
        },
      };
    },
    now,
    error: rabbitError,
  });
}
