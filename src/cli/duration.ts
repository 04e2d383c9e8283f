import type { StartFrom } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";
import { printable } from "./text.ts";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** Milliseconds of `500ms`, `10s`, `2m`, `1h` or `7d`. Throws `USAGE` for anything else. */
export function parseDuration(text: string): number {
  const match = DURATION.exec(text);
  const unit = UNITS[match?.[2] ?? ""];
  if (match === null || unit === undefined)
    throw usage(
      `'${printable(text)}' is not a duration.`,
      "A duration is a number and a unit.",
      "Write 500ms, 10s, 2m, 1h or 7d.",
    );
  return Number(match[1]) * unit;
}

/** A whole number of `min` or more. Throws `USAGE`. */
export function parseWhole(text: string, min = 0): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw usage(
    `'${printable(text)}' is not a whole number of ${min} or more.`,
    "This option counts something.",
    `Give a number such as ${Math.max(min, 10)}.`,
  );
}

/** Milliseconds as people read them: `12 ms`, `1.2 s`, `3.4 min`, `5.6 h`. */
export function showDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 3_600_000 ? `${(ms / 60_000).toFixed(1)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}

/** `earliest`, or an instant. Throws `USAGE`. */
export function parseStart(text: string): StartFrom {
  if (text === "earliest") return text;
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return { time };
  throw usage(
    `'${printable(text)}' is not where reading can start.`,
    "It is everything that is kept, or what was published after an instant.",
    "Write earliest, or an instant such as 2026-01-31T12:00:00Z.",
  );
}

/** An error in how the command was called; code `USAGE`. */
export function usage(message: string, why: string, hint: string): HeraldError {
  return new HeraldError("USAGE", message, { details: { why, hint } });
}
