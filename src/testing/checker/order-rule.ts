import type { Place } from "./id-index.ts";
import { PUBLISH, type LaneProgress, type Messages, type Tables } from "./tables.ts";
import type { Findings } from "./verdict.ts";

/**
 * First effects of one lane come in the order of their publishes. Two publishes are in order when one was answered before
 * the other began, or when they stood in one batch.
 */
export class OrderRule {
  readonly #tables: Tables;
  readonly #findings: Findings;

  constructor(tables: Tables, findings: Findings) {
    this.#tables = tables;
    this.#findings = findings;
  }

  /** The message takes effect for the first time. */
  effect(lanes: Map<number, LaneProgress>, messages: Messages, place: Place): void {
    const { counter } = place;
    const lane = messages.lane.get(counter);
    // Published more than once, or nobody knows when: it may stand anywhere.
    if (lane === 0 || messages.flags.has(counter, PUBLISH.again | PUBLISH.indeterminate)) return;
    let progress = lanes.get(lane);
    if (progress === undefined) lanes.set(lane, (progress = { maxInvoked: 0, batches: new Map() }));
    const answered = messages.okSeq.get(counter) || Infinity;
    const overtaken = progress.maxInvoked > answered || this.#overtakenInBatch(progress, messages, place);
    if (overtaken) this.#findings.add("reorder", () => `${this.#tables.show(place)} was overtaken`);
    progress.maxInvoked = Math.max(progress.maxInvoked, messages.invokedSeq.get(counter));
  }

  #overtakenInBatch(progress: LaneProgress, messages: Messages, { writer, counter }: Place): boolean {
    const batch = messages.batch.get(counter);
    if (batch === 0) return false;
    const invoked = messages.invokedSeq.get(counter);
    const last = progress.batches.get(writer);
    // Only a writer's latest batch is remembered: whole batches out of order are the other rule's.
    if (last === undefined || batch > last.batch)
      progress.batches.set(writer, { batch, maxInvoked: invoked });
    if (last === undefined || batch !== last.batch) return false;
    const overtaken = last.maxInvoked > invoked;
    last.maxInvoked = Math.max(last.maxInvoked, invoked);
    return overtaken;
  }
}
