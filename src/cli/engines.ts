type Version = readonly [major: number, minor: number, patch: number];

const COMPARATOR = /^(>=|<=|>|<|=)?v?(\d+)(?:\.(\d+))?(?:\.(\d+))?$/;

/**
 * Does a version satisfy the `engines` range of a package? Reads alternatives (`||`) of comparators (`>= > < <= =`), the
 * part of npm's range grammar that this package uses; false for anything else.
 */
export function satisfies(version: string, range: string): boolean {
  const actual = parse(version.replace(/^v/, "").replace(/[-+].*$/, ""));
  if (actual === undefined) return false;
  return range.split("||").some((alternative) => {
    const comparators = alternative.trim().split(/\s+/);
    return comparators.every((comparator) => holds(actual, comparator));
  });
}

function holds(actual: Version, comparator: string): boolean {
  const match = COMPARATOR.exec(comparator);
  const wanted = parse(comparator.replace(/^[<>=]*v?/, ""));
  if (match === null || wanted === undefined) return false;
  const order = compare(actual, wanted);
  switch (match[1]) {
    case ">=":
      return order >= 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case "<":
      return order < 0;
    default:
      return order === 0;
  }
}

function parse(text: string): Version | undefined {
  const match = COMPARATOR.exec(text);
  if (match === null) return undefined;
  return [Number(match[2]), Number(match[3] ?? 0), Number(match[4] ?? 0)];
}

function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
