import type { SubscriptionSpec } from "./broker.ts";
import { HeraldError, showValue } from "./errors.ts";
import { checkPattern } from "./pattern.ts";

// What every broker refuses in the same words.

/** Throws `INVALID_CHANNEL` for a pattern that is none, `INVALID_ARGUMENT` for a prefetch that makes no sense. */
export function checkSpec({ pattern, prefetch }: SubscriptionSpec): void {
  checkPattern(pattern);
  if (Number.isInteger(prefetch) && prefetch >= 1) return;
  const message = `prefetch must be a whole number of 1 or more, not ${showValue(prefetch)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "prefetch" } });
}

/** For a body that is larger than the broker takes, both in bytes. */
export function bodyTooLarge(bytes: number, maxBodyBytes: number): HeraldError {
  const message = `The body has ${bytes} bytes and this broker takes ${maxBodyBytes}: send less, or a reference to where it is kept.`;
  return new HeraldError("MESSAGE_TOO_LARGE", message, { details: { bytes, maxBodyBytes } });
}

/** For a second receive while one waits. */
export function waitsAlready(): HeraldError {
  const message = "This subscription waits in receive already; call it again when that has resolved.";
  return new HeraldError("INVALID_ARGUMENT", message);
}
