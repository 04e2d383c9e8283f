import { isChannelName, isWildcard, matchPattern } from "../../core/pattern.ts";

// What BullMQ or Redis reads a meaning into, and what UTF-8 cannot carry.
const UNSAFE = /[%:{}\p{Cc}\p{Cs}\s]/gu;
// BullMQ's own keys of a queue, which stand beside those of its jobs.
const OWN_KEYS = new Set(
  (
    "active wait waiting waiting-children paused id delayed prioritized priority stalled-check completed failed stalled " +
    "repeat limiter meta events pc marker de dn metrics added resumed obliterated drained"
  ).split(" "),
);

/**
 * A message id as a BullMQ job id: itself, unless BullMQ could not carry it. No two ids have one job id: `%` is always
 * followed by the code of what it stands for, or by `_` before an id of digits only, which BullMQ refuses, or one that is a
 * name of its own.
 */
export function jobIdOf(messageId: string): string {
  const escaped = escape(messageId);
  return /^\d*$/.test(escaped) || OWN_KEYS.has(escaped) ? `%_${escaped}` : escaped;
}

/**
 * The queue of one group of a pattern: `orders.created~billing`. `~` is no character of a pattern and is escaped in a
 * group, so that no two of them share a queue.
 */
export function groupQueue(pattern: string, group: string): string {
  return `${escape(pattern)}~${escape(group).replaceAll("~", "%7e;")}`;
}

/** The queue of one broadcast subscription. */
export function broadcastQueue(pattern: string, unique: string): string {
  return `${escape(pattern)}~~${unique}`;
}

/** The queue in which a declared channel keeps what it retains. */
export function retainedQueue(channel: string): string {
  return escape(channel);
}

/** The channel of a job: its name where the pattern covers it, otherwise what a job added by hand can only have meant. */
export function channelOf(pattern: string, jobName: string): string {
  if (!isWildcard(pattern)) return pattern;
  if (isChannelName(jobName) && matchPattern(pattern, jobName)) return jobName;
  const literal = pattern.split(".").filter((token) => !isWildcard(token));
  return literal.length === 0 ? "unnamed" : literal.join(".");
}

function escape(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `%${character.codePointAt(0)?.toString(16)};`);
}
