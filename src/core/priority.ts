import { HeraldError, showValue } from "./errors.ts";

/** 0 to 99, lower first, or one of four names. */
export type Priority = number | PriorityName;

/** critical 10, high 35, normal 50, low 80. */
export type PriorityName = "critical" | "high" | "normal" | "low";

const BY_NAME: Readonly<Record<PriorityName, number>> = { critical: 10, high: 35, normal: 50, low: 80 };

/** The priority of a message that names none. */
export const DEFAULT_PRIORITY = 50;

/** How many levels there are. */
export const PRIORITY_LEVELS = 100;

/** The level of a priority; rejects with `INVALID_ARGUMENT` what is neither a name nor an integer from 0 to 99. */
export function priorityLevel(priority: Priority | undefined): number {
  if (priority === undefined) return DEFAULT_PRIORITY;
  const level = typeof priority === "string" ? BY_NAME[priority] : priority;
  if (Number.isInteger(level) && level >= 0 && level < PRIORITY_LEVELS) return level;
  throw new HeraldError(
    "INVALID_ARGUMENT",
    `priority must be an integer from 0 (first) to 99, or critical, high, normal or low, not ${showValue(priority)}.`,
    { details: { field: "priority" } },
  );
}

/** The name of the band a level lies in: 0-20 critical, 21-49 high, 50-69 normal, 70-99 low. */
export function priorityName(level: number): PriorityName {
  if (level <= 20) return "critical";
  if (level <= 49) return "high";
  return level <= 69 ? "normal" : "low";
}
