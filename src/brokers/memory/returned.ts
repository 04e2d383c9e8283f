import { Heap } from "../../core/heap.ts";
import type { Entry } from "./entry.ts";

/** Entries that came back, the one that was published first at the top. */
export class Returned extends Heap<Entry> {
  constructor() {
    super((one, other) => one.sequence < other.sequence);
  }
}
