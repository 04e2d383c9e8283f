/** A place in a channel: partition, offset, and the time at which it was stored, by which other partitions are read from there. */
export interface Place {
  readonly partition: number;
  readonly offset: number;
  /** Epoch milliseconds; -1: not known. */
  readonly storedAt: number;
}

const FORM = /^(\d{1,9})-(\d{1,16})-(-1|\d{1,16})$/;

export function positionOf(partition: number, offset: number, storedAt: number): string {
  return `${partition}-${offset}-${storedAt}`;
}

/** The place that a position names, or undefined for what is none. */
export function parsePosition(text: string): Place | undefined {
  const found = FORM.exec(text);
  if (found === null) return undefined;
  return { partition: Number(found[1]), offset: Number(found[2]), storedAt: Number(found[3]) };
}

/** Older first: by time, then by partition and offset. */
export function comparePlaces(a: Place, b: Place): number {
  return a.storedAt - b.storedAt || a.partition - b.partition || a.offset - b.offset;
}
