import { isHeraldError, toHeraldError, type HeraldError } from "../../core/errors.ts";

/** Codes of a side that is away or unwell: nothing is wrong with what it was asked. */
const OUTAGE: ReadonlySet<string> = new Set([
  "NOT_CONNECTED",
  "TIMEOUT",
  "PUBLISH_UNKNOWN",
  "CIRCUIT_OPEN",
  "CLOSED",
  "STORAGE_FULL",
  "STORAGE_GONE",
  "STORAGE_CORRUPT",
  "UNAUTHENTICATED",
  "INTERNAL",
]);

/** After these nobody knows whether a publish was stored. */
const UNKNOWN: ReadonlySet<string> = new Set(["TIMEOUT", "PUBLISH_UNKNOWN", "INTERNAL"]);

/** True when the side is to blame, so that the other side may do what was asked. */
export function isOutage(error: unknown): boolean {
  return !isHeraldError(error) || OUTAGE.has(error.code);
}

/** True when the side is to blame, or has no room at the moment. */
export function canSpill(error: HeraldError): boolean {
  return error.code === "OVERLOADED" || isOutage(error);
}

/** True when what failed may have been stored all the same. */
export function isUnknown(error: unknown): boolean {
  return UNKNOWN.has(toHeraldError(error).code);
}

/** True when the call was not answered in time. */
export function isDeadline(error: unknown): boolean {
  return isHeraldError(error) && error.code === "TIMEOUT";
}
