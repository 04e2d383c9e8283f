import type { StartFrom } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";

/** By how much a caller's clock may run ahead of the server's, when a start is a time. */
const SKEW_MS = 5;

/** Where a new consumer begins, in the words of its configuration. */
export interface Start {
  readonly deliver_policy: "new" | "all" | "by_start_sequence" | "by_start_time";
  readonly opt_start_seq?: number;
  readonly opt_start_time?: string;
}

/** The start at a place in the stream. */
export function startAt(sequence: number): Start {
  return sequence <= 1
    ? { deliver_policy: "all" }
    : { deliver_policy: "by_start_sequence", opt_start_seq: sequence };
}

/** Where a new group begins. Throws `INVALID_ARGUMENT` for what is no place to start. */
export function startOf(from: StartFrom | undefined): Start {
  if (from === undefined || from === "new") return { deliver_policy: "new" };
  if (from === "earliest") return { deliver_policy: "all" };
  const { time, position } = (from ?? {}) as { readonly time?: unknown; readonly position?: unknown };
  if (typeof time === "number" && time >= 0 && time < 8.64e15)
    return {
      deliver_policy: "by_start_time",
      opt_start_time: new Date(Math.max(0, Math.floor(time) - SKEW_MS)).toISOString(),
    };
  const sequence = sequenceOf(position);
  if (sequence !== undefined) return startAt(sequence);
  const message = `from must be new, earliest, { position } of this NATS broker or { time } in epoch milliseconds, not ${showValue(from)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
}

/** The sequence that a position names, or undefined when it is none. */
export function sequenceOf(position: unknown): number | undefined {
  return typeof position === "string" && /^\d{1,15}$/.test(position) ? Number(position) : undefined;
}
