import type * as Croner from "croner";
import { HeraldError } from "../../core/errors.ts";
import { wrong } from "./options.ts";

/** When a task comes again. */
export type Schedule =
  | {
      /** `minute hour day month weekday`, seconds optionally first, and what else the package `croner` reads. */
      readonly cron: string;
      /** IANA name. Default: the machine's. */
      readonly timeZone?: string;
    }
  | {
      /** Milliseconds; counted from the epoch, so that all processes mean the same moments. */
      readonly everyMs: number;
    };

/** The first moment after one, both epoch milliseconds; undefined: none. */
export type Next = (after: number) => number | undefined;

/** Reads a schedule. Rejects with `INVALID_ARGUMENT` naming the field, and `UNSUPPORTED` without the package `croner`. */
export async function readSchedule(when: Schedule): Promise<Next> {
  if (typeof when !== "object" || when === null)
    throw wrong("when", "{ cron, timeZone? } or { everyMs }", when);
  if ("everyMs" in when) return everyOf(when.everyMs);
  const { Cron } = await loadCroner();
  const { cron, timeZone } = when;
  if (typeof cron !== "string") throw wrong("when.cron", "a cron expression", cron);
  try {
    const job = new Cron(cron, timeZone === undefined ? {} : { timezone: timeZone });
    // An unknown time zone shows itself with the first moment only.
    job.nextRun();
    return (after) => job.nextRun(new Date(after))?.getTime();
  } catch (cause) {
    const message = `The schedule '${cron}' cannot be read: ${(cause as Error).message}`;
    throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "when.cron" }, cause });
  }
}

function everyOf(everyMs: number): Next {
  if (!(everyMs >= 1 && everyMs < Infinity)) throw wrong("when.everyMs", "a number of 1 or more", everyMs);
  return (after) => (Math.floor(after / everyMs) + 1) * everyMs;
}

async function loadCroner(): Promise<typeof Croner> {
  try {
    return await import("croner");
  } catch (cause) {
    const message = "A cron schedule needs the package 'croner': add it with npm install croner.";
    throw new HeraldError("UNSUPPORTED", message, { details: { package: "croner" }, cause });
  }
}
