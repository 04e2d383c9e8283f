import { HeraldError, showValue } from "./errors.ts";
import type { InboxOptions } from "./store.ts";

/** The limits of an inbox, with every default filled in. Throws `INVALID_ARGUMENT` naming the option. */
export function inboxLimits(options: InboxOptions): Required<InboxOptions> {
  return {
    horizonMs: aboveZero("horizonMs", options.horizonMs ?? 3_600_000),
    maxIds: aboveZero("maxIds", options.maxIds ?? 5_000_000),
  };
}

/** `OVERLOADED`: there is no room for one more id. */
export function inboxFull(maxIds: number): HeraldError {
  const message = `The inbox remembers ${maxIds} ids already: raise maxIds, or shorten horizonMs if no redelivery can be that late.`;
  return new HeraldError("OVERLOADED", message, { details: { maxIds } });
}

/** One text for an id of a group. A group name may hold any printable character; an id never holds a space. */
export function inboxKey(group: string, id: string): string {
  return `${id} ${group}`;
}

function aboveZero(field: string, value: number): number {
  if (typeof value === "number" && value > 0) return value;
  const message = `Inbox option '${field}' must be a number above 0, not ${showValue(value)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
}
