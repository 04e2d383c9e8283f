import { check } from "../../src/testing/checker/check.ts";
import type { HistoryEntry, HistoryEvent } from "../../src/testing/checker/history.ts";
import type { CheckOptions } from "../../src/testing/checker/options.ts";

/** One event of a history that is written by hand. */
export type Line = HistoryEntry & { readonly at?: number };
/** Events, nested as it reads best. */
export type Lines = Line | readonly Lines[];

/** The one group of these histories. */
export const GROUP = "g";
/** A publish begins. */
export const invoke = (id: string, more: object = {}): Line => ({
  type: "pub.invoke",
  id,
  channel: "c",
  ...more,
});
/** It is acknowledged. */
export const ok = (id: string): Line => ({ type: "pub.ok", id });
/** A publish from begin to end. */
export const published = (id: string, more: object = {}): Line[] => [invoke(id, more), ok(id)];
/** A handler starts, on attempt 1 unless said otherwise. */
export const start = (id: string, more: object = {}): Line => ({
  type: "start",
  id,
  group: GROUP,
  attempt: 1,
  consumer: "one",
  ...more,
});
/** An event that says no more than which message. */
export const event = (
  type: "commit.ok" | "fail" | "ack.ok" | "ack.info" | "abandoned" | "skipped" | "replay" | "pending",
  id: string,
): Line => ({
  type,
  id,
  group: GROUP,
});
/** Given back, counted. */
export const nack = (id: string, delayMs = 0): Line => ({ type: "nack", id, group: GROUP, delayMs });
/** Given back, not counted. */
export const release = (id: string): Line => ({ type: "release", id, group: GROUP, delayMs: 0 });
/** Given up on. */
export const dlq = (id: string, cause: "attempts" | "rejected" | "expired"): Line => ({
  type: "dlq",
  id,
  group: GROUP,
  cause,
});
/** The effect is made and the broker told. */
export const done = (id: string): Line[] => [event("commit.ok", id), event("ack.ok", id)];
/** A delivery from start to end. */
export const handled = (id: string, more: object = {}): Line[] => [start(id, more), ...done(id)];

function flatten(lines: Lines): Line[] {
  return "type" in lines ? [lines] : lines.flatMap(flatten);
}

/** The verdict over lines; the time of a line is its index unless it names one. */
export function judge(lines: Lines, options: CheckOptions = {}) {
  const events: HistoryEvent[] = flatten(lines).map((line, at) => ({ at, ...line }));
  return check(events, { minAcked: 0, ...options });
}

/** The names of what is wrong with the lines. */
export function anomalies(lines: Lines, options: CheckOptions = {}): string[] {
  return judge(lines, options).findings.map(({ anomaly }) => anomaly);
}
