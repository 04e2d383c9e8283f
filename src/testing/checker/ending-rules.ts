import type { HistoryEvent } from "./history.ts";
import type { CheckSettings } from "./options.ts";
import {
  DELIVERY,
  PUBLISH,
  type Expectations,
  type GroupState,
  type Messages,
  type Rows,
  type Tables,
} from "./tables.ts";
import type { Anomaly, Findings } from "./verdict.ts";

type Counters = Extract<HistoryEvent, { type: "counters" }>;

const ENDED = DELIVERY.dead | DELIVERY.expired | DELIVERY.pending | DELIVERY.skipped;

/** What one group came to, each message counted under the first that applies. */
export interface GroupTotals {
  acked: number;
  handled: number;
  deadLettered: number;
  expired: number;
  pending: number;
  lost: number;
}

/** What can only be said when the history is over: losses, missing effects, conservation. */
export class EndingRules {
  readonly #tables: Tables;
  readonly #findings: Findings;
  readonly #settings: CheckSettings;

  constructor(tables: Tables, findings: Findings, settings: CheckSettings) {
    this.#tables = tables;
    this.#findings = findings;
    this.#settings = settings;
  }

  /** Totals of every group that something was expected of. */
  finish(endedAt: number, reportedLost: number): Map<string, GroupTotals> {
    const totals = new Map<string, GroupTotals>();
    for (const group of this.#tables.groups.values()) totals.set(group.name, this.#group(group, endedAt));
    const lost = [...totals.values()].reduce((sum, total) => sum + total.lost, 0);
    if (!this.#settings.durable && lost > reportedLost) {
      this.#findings.add("silent-loss", () => `${lost} lost, ${reportedLost} reported`);
    }
    if (reportedLost > lost)
      this.#findings.add("counter-drift", () => `${lost} lost, ${reportedLost} reported`);
    return totals;
  }

  /** What the product counted against what the history says. */
  conservation(counters: Counters, totals: GroupTotals): void {
    for (const name of ["acked", "handled", "deadLettered", "expired", "pending"] as const) {
      const claimed = counters[name];
      if (claimed === undefined || claimed === totals[name]) continue;
      this.#findings.add(
        "counter-drift",
        () => `${counters.group} says ${claimed} ${name}, the history ${totals[name]}`,
      );
    }
  }

  #group(group: GroupState, endedAt: number): GroupTotals {
    const totals = { acked: 0, handled: 0, deadLettered: 0, expired: 0, pending: 0, lost: 0 };
    for (const [writer, messages] of this.#tables.writers().entries()) {
      if (messages === undefined) continue;
      const holes = new Holes();
      const rows = group.rows(writer);
      for (let counter = 0; counter < messages.length; counter++) {
        if (!this.#isDue(group.expectations, messages, counter)) continue;
        totals.acked++;
        const end = ending(messages, rows, counter, endedAt);
        if (end !== "nowhere") {
          totals[end]++;
          holes.found(counter);
        } else if (!this.#settings.complete) totals.pending++;
        else if (rows.starts.get(counter) > 0) this.#missing(group, writer, counter);
        else holes.missed(counter);
      }
      totals.lost += holes.count;
      if (this.#settings.durable) this.#lost(group, writer, holes);
    }
    return totals;
  }

  #isDue(expectations: Expectations, messages: Messages, counter: number): boolean {
    if (!messages.flags.has(counter, PUBLISH.acked)) return false;
    const channel = this.#tables.channelName(messages.channel.get(counter));
    return expectations.include(channel, messages.invokedSeq.get(counter));
  }

  #missing(group: GroupState, writer: number, counter: number): void {
    const show = () => `${this.#tables.show({ writer, counter })} in ${group.name} started and had no effect`;
    if (this.#settings.guarantee !== "at-most-once") this.#findings.add("missing-effect", show);
  }

  #lost(group: GroupState, writer: number, holes: Holes): void {
    for (const [counter, anomaly] of holes.named()) {
      this.#findings.add(anomaly, () => `${this.#tables.show({ writer, counter })} in ${group.name}`);
    }
  }
}

function ending(
  messages: Messages,
  rows: Rows,
  at: number,
  endedAt: number,
): "handled" | "deadLettered" | "expired" | "pending" | "nowhere" {
  const state = rows.state.get(at);
  if ((state & DELIVERY.dead) !== 0) return "deadLettered";
  if (rows.effects.get(at) > 0 || (state & DELIVERY.skipped) !== 0) return "handled";
  if ((state & DELIVERY.pending) !== 0) return "pending";
  const expiresAt = messages.expiresAt.get(at);
  const isOver = expiresAt > 0 && expiresAt <= endedAt;
  return (state & ENDED) !== 0 || isOver ? "expired" : "nowhere";
}

/** The gaps in one writer's numbers: a gap in the middle proves a hole, one at an end may be a cut. */
class Holes {
  readonly #missing: number[] = [];
  #lowest = Infinity;
  #highest = -1;

  get count(): number {
    return this.#missing.length;
  }

  found(counter: number): void {
    this.#lowest = Math.min(this.#lowest, counter);
    this.#highest = Math.max(this.#highest, counter);
  }

  missed(counter: number): void {
    this.#missing.push(counter);
  }

  *named(): Generator<readonly [number, Anomaly]> {
    for (const counter of this.#missing) {
      if (counter < this.#lowest) yield [counter, "lost-prefix"];
      else yield [counter, counter > this.#highest ? "lost-postfix" : "lost-middle"];
    }
  }
}
