import { HeraldError, showValue } from "./errors.ts";
import { MAX_CHANNEL_BYTES } from "./limits.ts";

const CHANNEL = /^[A-Za-z0-9_:-]+(?:\.[A-Za-z0-9_:-]+)*$/;
const TOKEN = /^[A-Za-z0-9_:*-]+$/;
const GRAMMAR = "tokens of A-Z a-z 0-9 _ : - joined by dots, at most 200 bytes";

/** True when `name` is a channel name: tokens of `[A-Za-z0-9_:-]` joined by dots, at most 200 bytes, case-sensitive. */
export function isChannelName(name: unknown): name is string {
  return typeof name === "string" && name.length <= MAX_CHANNEL_BYTES && CHANNEL.test(name);
}

/** Rejects with `INVALID_CHANNEL` what is not a channel name. Nothing is normalised. */
export function checkChannel(name: unknown): asserts name is string {
  if (isChannelName(name)) return;
  throw new HeraldError(
    "INVALID_CHANNEL",
    `${showValue(name)} is not a channel name; use ${GRAMMAR}, without wildcards.`,
    {
      details: { channel: showValue(name) },
    },
  );
}

/** True when `pattern` holds a wildcard, so that it can match more than one channel. */
export function isWildcard(pattern: string): boolean {
  return pattern.includes("*") || pattern.endsWith("#");
}

/**
 * Rejects with `INVALID_CHANNEL` what is not a pattern. A pattern is a channel name in which `*` stands for exactly one
 * token, inside a token for any run of characters (`agent-*`), and a last token `#` for zero or more tokens.
 */
export function checkPattern(pattern: unknown): asserts pattern is string {
  if (typeof pattern === "string" && pattern.length <= MAX_CHANNEL_BYTES && isPattern(pattern)) return;
  throw new HeraldError(
    "INVALID_CHANNEL",
    `${showValue(pattern)} is not a channel pattern; use ${GRAMMAR}, with * for one token and a last # for zero or more.`,
    { details: { channel: showValue(pattern) } },
  );
}

function isPattern(pattern: string): boolean {
  const tokens = pattern.split(".");
  const last = tokens.pop();
  return (
    tokens.every((token) => TOKEN.test(token)) && last !== undefined && (last === "#" || TOKEN.test(last))
  );
}

/** Does `pattern` cover `channel`? Both must have passed their check. Linear in the length of both. */
export function matchPattern(pattern: string, channel: string): boolean {
  if (!isWildcard(pattern)) return pattern === channel;
  return matchTokens(pattern.split("."), channel.split("."));
}

/** {@link matchPattern} over tokens that are split already. */
export function matchTokens(pattern: readonly string[], channel: readonly string[]): boolean {
  for (let i = 0; i < pattern.length; i++) {
    const token = pattern[i] as string;
    if (token === "#") return true;
    if (i >= channel.length || !matchToken(token, channel[i] as string)) return false;
  }
  return pattern.length === channel.length;
}

/** One token against one token; `*` stands for any run of characters. Greedy with one backtrack point: linear in practice. */
export function matchToken(pattern: string, token: string): boolean {
  if (pattern === "*") return true;
  if (!pattern.includes("*")) return pattern === token;
  let p = 0;
  let star = -1;
  let resume = 0;
  for (let t = 0; t < token.length;) {
    if (pattern[p] === "*") {
      star = p++;
      resume = t;
    } else if (pattern[p] === token[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

/** Can one channel match both patterns? Errs on the side of yes where two wildcards meet in one token. */
export function patternsOverlap(a: string, b: string): boolean {
  const [left, right] = [a.split("."), b.split(".")];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [x, y] = [left[i], right[i]];
    if (x === "#" || y === "#") return true;
    if (x === undefined || y === undefined) return false;
    if (x !== y && !x.includes("*") && !y.includes("*")) return false;
    if (!x.includes("*") && !matchToken(y, x)) return false;
    if (!y.includes("*") && !matchToken(x, y)) return false;
  }
  return true;
}
