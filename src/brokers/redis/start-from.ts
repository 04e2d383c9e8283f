import type { StartFrom } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { idBefore, parsePosition } from "./keys.ts";

/** By how much a caller's clock may run ahead of the server's, when a start is a time. */
const SKEW_MS = 5;

/**
 * Where a new group stands, as Redis takes it: `$`, `0`, or the id before the first that it reads. Throws
 * `INVALID_ARGUMENT` for what is no place to start.
 */
export function startOf(from: StartFrom | undefined): string {
  if (from === undefined || from === "new") return "$";
  if (from === "earliest") return "0";
  const { time, position } = (from ?? {}) as { readonly time?: unknown; readonly position?: unknown };
  if (typeof time === "number" && time >= 0) return idBefore(`${Math.max(0, Math.floor(time) - SKEW_MS)}-0`);
  const place = typeof position === "string" ? parsePosition(position) : undefined;
  if (place !== undefined) return idBefore(place.id);
  const message = `from must be new, earliest, { position } of this Redis broker or { time } in epoch milliseconds, not ${showValue(from)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
}
