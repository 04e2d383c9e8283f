/** Code points as sorted, disjoint ranges, flat: `[from, to, from, to, …]`, both ends included. */
export type CharSet = readonly number[];

/** The last code point of Unicode. */
export const MAX_CODE_POINT = 0x10ffff;

/** Every code point. */
export const ANY: CharSet = [0, MAX_CODE_POINT];

/** The end of the text, as a symbol of its own behind the last code point. */
export const END: CharSet = [MAX_CODE_POINT + 1, MAX_CODE_POINT + 1];

/** One code point. */
export function single(codePoint: number): CharSet {
  return [codePoint, codePoint];
}

/** What is in any of the sets. */
export function union(sets: readonly CharSet[]): CharSet {
  const ranges: [number, number][] = [];
  for (const set of sets) for (let i = 0; i < set.length; i += 2) ranges.push([at(set, i), at(set, i + 1)]);
  ranges.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [from, to] of ranges) {
    const last = merged.length - 1;
    if (last > 0 && from <= at(merged, last) + 1) merged[last] = Math.max(at(merged, last), to);
    else merged.push(from, to);
  }
  return merged;
}

/** Every code point that is not in the set. */
export function negate(set: CharSet): CharSet {
  const result: number[] = [];
  let from = 0;
  for (let i = 0; i < set.length; i += 2) {
    if (at(set, i) > from) result.push(from, at(set, i) - 1);
    from = at(set, i + 1) + 1;
  }
  if (from <= MAX_CODE_POINT) result.push(from, MAX_CODE_POINT);
  return result;
}

/** Do the sets share a member? */
export function overlaps(a: CharSet, b: CharSet): boolean {
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (Math.max(at(a, i), at(b, j)) <= Math.min(at(a, i + 1), at(b, j + 1))) return true;
    if (at(a, i + 1) < at(b, j + 1)) i += 2;
    else j += 2;
  }
  return false;
}

function at(set: readonly number[], index: number): number {
  return set[index] ?? 0;
}

const code = (char: string): number => char.charCodeAt(0);

/** `\d` */
export const DIGITS: CharSet = [code("0"), code("9")];

/** `\w` */
export const WORD: CharSet = [
  code("0"),
  code("9"),
  code("A"),
  code("Z"),
  code("_"),
  code("_"),
  code("a"),
  code("z"),
];

/** `\s` */
export const SPACE: CharSet = [
  0x09, 0x0d, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f,
  0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff,
];

/** What `.` does not match. */
export const LINE_ENDS: CharSet = [0x0a, 0x0a, 0x0d, 0x0d, 0x2028, 0x2029];
