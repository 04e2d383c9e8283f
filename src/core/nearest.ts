const MAX_COMPARED = 64;

/**
 * The candidate that a mistyped word most likely means, or undefined when none is close: at most a third of the longer
 * word's characters (and always one) may differ. Only the first 64 characters are looked at.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const typed = word.slice(0, MAX_COMPARED).toLowerCase();
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const known = candidate.slice(0, MAX_COMPARED).toLowerCase();
    const distance = editDistance(typed, known);
    const allowed = Math.max(1, Math.floor(Math.max(typed.length, known.length) / 3));
    if (distance > allowed || distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** How many characters must be put in, taken out, exchanged or swapped with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const exchanged = at(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swaps = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = i > 1 && j > 1 && swaps ? at(before, j - 2) + 1 : Infinity;
      next.push(Math.min(exchanged, swapped, at(row, j) + 1, at(next, j - 1) + 1));
    }
    before = row;
    row = next;
  }
  return at(row, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}
