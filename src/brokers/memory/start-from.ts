import type { StartFrom } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, showValue } from "../../core/errors.ts";

const POSITION = /^\d{1,15}$/;

/** Is a retained envelope one that a new group reads? */
export type Wanted = (candidate: { readonly sequence: number; readonly envelope: Envelope }) => boolean;

/**
 * What a new group reads of what is retained; undefined: only what comes. Throws `UNSUPPORTED` where nothing is retained
 * (`replay` 0), `INVALID_ARGUMENT` for what is no place to start.
 */
export function startOf(from: StartFrom | undefined, replay: number): Wanted | undefined {
  if (from === undefined || from === "new") return undefined;
  if (replay === 0) throw noReplay();
  if (from === "earliest") return () => true;
  const { time, position } = (from ?? {}) as { readonly time?: unknown; readonly position?: unknown };
  if (typeof time === "number" && time >= 0) return ({ envelope }) => envelope.time >= time;
  if (typeof position === "string" && POSITION.test(position))
    return ({ sequence }) => sequence >= Number(position);
  throw wrongStart(from);
}

function wrongStart(from: unknown): HeraldError {
  const message = `from must be new, earliest, { position } of this memory broker or { time } in epoch milliseconds, not ${showValue(from)}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
}

function noReplay(): HeraldError {
  return new HeraldError(
    "UNSUPPORTED",
    "This memory broker retains nothing to start from: set its option replay above 0, or subscribe from 'new'.",
    {
      details: { field: "from" },
    },
  );
}
