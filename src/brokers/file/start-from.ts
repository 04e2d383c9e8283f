import type { StartFrom } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import type { Start } from "./protocol.ts";

const POSITION = /^\d{1,15}$/;

/** Where a new group starts. Throws `INVALID_ARGUMENT` for what is no place to start. */
export function startOf(from: StartFrom | undefined): Start {
  if (from === undefined || from === "new") return "new";
  if (from === "earliest") return "earliest";
  const { time, position } = (from ?? {}) as { readonly time?: unknown; readonly position?: unknown };
  if (typeof time === "number" && time >= 0) return { time };
  if (typeof position === "string" && POSITION.test(position)) return { position: Number(position) };
  const message = `from must be new, earliest, { position } of this file broker or { time } in epoch milliseconds, not ${showValue(from)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
}
