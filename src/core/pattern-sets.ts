import { isWildcard, matchToken } from "./pattern.ts";

// Patterns as the sets of the channels that they cover. All of them must have passed `checkPattern`.

/** Does `outer` cover every channel that `inner` covers? Linear in the length of both. */
export function coversPattern(outer: string, inner: string): boolean {
  const a = tokensOf(outer);
  const b = tokensOf(inner);
  for (let at = 0; ; at++) {
    const x = a[at];
    const y = b[at];
    if (x === "#") return true;
    if (x === undefined || y === undefined) return x === y;
    // A star of `inner` stands for any text: only a star of `outer` takes it in.
    if (y === "#" || !matchToken(x, y)) return false;
  }
}

/** Is there a channel that both cover? Linear in the length of both. */
export function patternsMeet(one: string, other: string): boolean {
  const a = tokensOf(one);
  const b = tokensOf(other);
  for (let at = 0; ; at++) {
    const x = a[at];
    const y = b[at];
    if (x === "#" || y === "#") return true;
    if (x === undefined || y === undefined) return x === y;
    if (!tokensMeet(x, y)) return false;
  }
}

/** `#` alone covers channels of one token and more, as `*.#` does: there is no channel of none. */
function tokensOf(pattern: string): readonly string[] {
  return pattern === "#" ? ["*", "#"] : pattern.split(".");
}

/** Two tokens with stars meet where their beginnings agree and their ends do: what lies between has room. */
function tokensMeet(one: string, other: string): boolean {
  if (!isWildcard(one)) return matchToken(other, one);
  if (!isWildcard(other)) return matchToken(one, other);
  const heads = [one.slice(0, one.indexOf("*")), other.slice(0, other.indexOf("*"))] as const;
  const tails = [one.slice(one.lastIndexOf("*") + 1), other.slice(other.lastIndexOf("*") + 1)] as const;
  return (
    (heads[0].startsWith(heads[1]) || heads[1].startsWith(heads[0])) &&
    (tails[0].endsWith(tails[1]) || tails[1].endsWith(tails[0]))
  );
}
