import { DeliveryRules } from "./delivery-rules.ts";
import { EndingRules, type GroupTotals } from "./ending-rules.ts";
import type { HistoryEvent } from "./history.ts";
import { checkSettings, type CheckOptions, type CheckSettings } from "./options.ts";
import { ModeRules } from "./mode-rules.ts";
import { PublishRules } from "./publish-rules.ts";
import { PUBLISH, Tables } from "./tables.ts";
import { Findings, type Tally, type Verdict } from "./verdict.ts";

/**
 * Judges a history in one pass: nothing acknowledged is lost, nothing is invented, changed, out of order, too early, too
 * late or too often, and the product's own counts agree. Time is linear in the events, memory in the distinct ids: some
 * tens of bytes for each, whatever the length of the history.
 */
export function check(history: Iterable<HistoryEvent>, options: CheckOptions = {}): Verdict {
  const checker = new Checker(options);
  for (const event of history) checker.add(event);
  return checker.finish();
}

/** {@link check} for a history that arrives piece by piece. */
export class Checker {
  readonly #settings: CheckSettings;
  readonly #tables = new Tables();
  readonly #findings = new Findings();
  readonly #publishes: PublishRules;
  readonly #deliveries: DeliveryRules;
  readonly #endings: EndingRules;
  readonly #modes: ModeRules;
  readonly #counters: Extract<HistoryEvent, { type: "counters" }>[] = [];
  #seq = 0;
  #endedAt = 0;
  #faults = 0;
  #reportedLost = 0;
  #healedAt: number | undefined;
  #hasExpectations = false;

  constructor(options: CheckOptions = {}) {
    this.#settings = checkSettings(options);
    this.#publishes = new PublishRules(this.#tables, this.#findings, this.#settings);
    this.#deliveries = new DeliveryRules(this.#tables, this.#findings, this.#settings);
    this.#modes = new ModeRules(this.#tables, this.#findings);
    this.#endings = new EndingRules(this.#tables, this.#findings, this.#settings);
  }

  /** The next event of the history. */
  add(event: HistoryEvent): void {
    const seq = ++this.#seq;
    this.#endedAt = event.at;
    switch (event.type) {
      case "pub.invoke":
        return this.#publishes.invoke(event, seq);
      case "pub.ok":
      case "pub.fail":
      case "pub.info":
        return this.#publishes.outcome(event, seq);
      case "start":
        return this.#deliveries.start(event);
      case "dlq":
        return this.#deliveries.deadLetter(event);
      case "subscribe":
      case "unsubscribe":
        return this.#expect(event, seq);
      case "mode":
        return this.#modes.mode(event);
      case "drain":
        return this.#modes.drain(event);
      case "nemesis":
      case "heal":
      case "counters":
      case "data-loss":
        return this.#note(event);
      default:
        if (event.type === "commit.ok") this.#alive(event.at);
        return this.#deliveries.settled(event);
    }
  }

  /** The verdict over everything that was added. */
  finish(): Verdict {
    if (!this.#hasExpectations) this.#expectEverything();
    this.#publishes.finish();
    const totals = this.#endings.finish(this.#endedAt, this.#reportedLost);
    for (const counters of this.#counters) {
      const group = totals.get(counters.group);
      if (group !== undefined) this.#endings.conservation(counters, group);
    }
    const tally = this.#tally(totals);
    this.#stuck(tally);
    const vacuous = tally.acked < this.#settings.minAcked || tally.faults < this.#settings.minFaults;
    const findings = this.#findings.list();
    return { ok: findings.length === 0 && !vacuous, vacuous, findings, tally };
  }

  #expect(event: Extract<HistoryEvent, { type: "subscribe" | "unsubscribe" }>, seq: number): void {
    const { expectations } = this.#tables.group(event.group);
    this.#hasExpectations = true;
    if (event.type === "unsubscribe") expectations.clear();
    else expectations.add(event.pattern, event.from === "earliest" ? -1 : seq);
  }

  /** A history that names no subscriptions: every group that is seen must have everything. */
  #expectEverything(): void {
    for (const group of this.#tables.groups.values()) group.expectations.add("#", -1);
  }

  #note(event: Extract<HistoryEvent, { type: "nemesis" | "heal" | "counters" | "data-loss" }>): void {
    if (event.type === "nemesis") {
      this.#faults++;
      this.#healedAt = undefined;
    } else if (event.type === "heal") this.#healedAt = event.at;
    else if (event.type === "counters") this.#counters.push(event);
    else this.#reportedLost += event.count;
  }

  #alive(at: number): void {
    if (this.#healedAt === undefined) return;
    const waitedMs = at - this.#healedAt;
    if (waitedMs > this.#settings.healWithinMs) {
      this.#findings.add("stuck", () => `the first effect came ${Math.round(waitedMs)} ms after healing`);
    }
    this.#healedAt = undefined;
  }

  #stuck(tally: Tally): void {
    const hasWork = tally.pending > 0 || tally.lost > 0 || this.#findings.count("missing-effect") > 0;
    if (this.#healedAt !== undefined && hasWork)
      this.#findings.add("stuck", () => "nothing took effect after healing");
  }

  #tally(totals: ReadonlyMap<string, GroupTotals>): Tally {
    const sum = (pick: (total: GroupTotals) => number) =>
      [...totals.values()].reduce((all, one) => all + pick(one), 0);
    const groups = [...this.#tables.groups.values()];
    return {
      ...this.#published(),
      started: groups.reduce((all, group) => all + group.started, 0),
      handled: groups.reduce((all, group) => all + group.handled, 0),
      deadLettered: sum((total) => total.deadLettered),
      expired: sum((total) => total.expired),
      pending: sum((total) => total.pending),
      lost: sum((total) => total.lost),
      faults: this.#faults,
    };
  }

  #published() {
    const counts = { attempted: 0, acked: 0, refused: 0, indeterminate: 0 };
    for (const messages of this.#tables.writers()) {
      for (let counter = 0; counter < (messages?.length ?? 0); counter++) {
        const flags = messages?.flags.get(counter) ?? 0;
        if ((flags & PUBLISH.invoked) === 0) continue;
        counts.attempted++;
        if ((flags & PUBLISH.acked) !== 0) counts.acked++;
        else if ((flags & PUBLISH.indeterminate) !== 0) counts.indeterminate++;
        else if ((flags & PUBLISH.refused) !== 0) counts.refused++;
      }
    }
    return counts;
  }
}
