import type { HistoryEvent } from "./history.ts";
import type { Place } from "./id-index.ts";
import type { CheckSettings } from "./options.ts";
import { OrderRule } from "./order-rule.ts";
import { DELIVERY, PUBLISH, type GroupState, type Messages, type Rows, type Tables } from "./tables.ts";
import type { Findings } from "./verdict.ts";

type Start = Extract<HistoryEvent, { type: "start" }>;
type DeadLetter = Extract<HistoryEvent, { type: "dlq" }>;
type Settled = Extract<
  HistoryEvent,
  {
    type:
      | "commit.ok"
      | "fail"
      | "ack.ok"
      | "ack.info"
      | "nack"
      | "release"
      | "abandoned"
      | "skipped"
      | "expired"
      | "replay"
      | "pending";
  }
>;

interface Subject {
  readonly place: Place;
  readonly group: GroupState;
  readonly messages: Messages;
  readonly rows: Rows;
}

const RETURNED = DELIVERY.counted | DELIVERY.uncounted;

/** Follows deliveries: content, count, order, attempts, time. */
export class DeliveryRules {
  readonly #tables: Tables;
  readonly #findings: Findings;
  readonly #settings: CheckSettings;
  readonly #order: OrderRule;

  constructor(tables: Tables, findings: Findings, settings: CheckSettings) {
    this.#tables = tables;
    this.#findings = findings;
    this.#settings = settings;
    this.#order = new OrderRule(tables, findings);
  }

  start(event: Start): void {
    const subject = this.#subject(event);
    const { messages, rows, group, place } = subject;
    if (!this.#wasAttempted(event, subject)) return;
    messages.flags.raise(place.counter, PUBLISH.delivered);
    this.#content(event, subject);
    this.#time(event, subject);
    if (this.#isZombie(event, subject)) return rows.starts.add(place.counter, 1);
    this.#count(subject);
    this.#attempts(event, subject);
    if (rows.starts.get(place.counter) === 0) {
      group.started++;
      if (this.#settings.order !== "none") this.#order.effect(group.firstStarts, messages, place);
    }
    rows.starts.add(place.counter, 1);
    rows.attempt.set(place.counter, event.attempt);
    rows.state.lower(place.counter, RETURNED);
    rows.state.raise(place.counter, DELIVERY.open);
  }

  settled(event: Settled): void {
    const subject = this.#subject(event);
    const { rows, place } = subject;
    const at = place.counter;
    switch (event.type) {
      case "commit.ok":
        return this.#effect(subject);
      case "fail":
        return rows.failures.add(at, 1);
      case "ack.ok":
        return this.#ack(event.at, subject);
      case "nack":
      case "abandoned":
        // Given back without a start: the broker counts an attempt that no handler saw.
        if (!rows.state.has(at, DELIVERY.open)) rows.attempt.add(at, 1);
        return this.#giveBack(
          subject,
          DELIVERY.counted,
          event.type === "nack" ? event.at + event.delayMs : 0,
        );
      case "release":
        return this.#giveBack(subject, DELIVERY.uncounted, event.at + event.delayMs);
      case "ack.info":
        return this.#giveBack(subject, RETURNED, 0);
      case "replay":
        return this.#replay(subject);
      default:
        return rows.state.raise(at, DELIVERY[event.type]);
    }
  }

  deadLetter(event: DeadLetter): void {
    const subject = this.#subject(event);
    const { rows, place, messages } = subject;
    const at = place.counter;
    if (!messages.flags.has(at, PUBLISH.invoked)) {
      this.#findings.add("phantom", () => `${this.#name(subject)} is a dead letter and was never published`);
    }
    if (rows.state.has(at, DELIVERY.dead)) {
      this.#findings.add("duplicate-effect", () => `${this.#name(subject)} is in the dead letters twice`);
    }
    rows.state.raise(at, DELIVERY.dead);
    const { maxAttempts } = this.#settings;
    const failures = rows.failures.get(at);
    if (event.cause === "attempts" && maxAttempts !== Infinity && failures < maxAttempts) {
      this.#findings.add(
        "early-dlq",
        () => `${this.#name(subject)} after ${failures} of ${maxAttempts} attempts`,
      );
    }
    if (
      event.cause === "expired" &&
      !(messages.expiresAt.get(at) > 0 && messages.expiresAt.get(at) <= event.at)
    ) {
      this.#findings.add("early-dlq", () => `${this.#name(subject)} as expired, before its time`);
    }
  }

  /** Handed out before the last one, and started after it. */
  #isZombie({ attempt }: Start, { rows, place }: Subject): boolean {
    const { zombies } = this.#settings;
    return zombies && rows.starts.get(place.counter) > 0 && attempt <= rows.attempt.get(place.counter);
  }

  #subject(event: { readonly id: string; readonly group: string }): Subject {
    const place = this.#tables.ids.place(event.id);
    const group = this.#tables.group(event.group);
    return { place, group, messages: this.#tables.messages(place.writer), rows: group.rows(place.writer) };
  }

  #wasAttempted(event: Start, { place, messages }: Subject): boolean {
    if (!messages.flags.has(place.counter, PUBLISH.invoked)) {
      this.#findings.add("phantom", () => `${event.id} was never published`);
      return false;
    }
    const published = this.#tables.channelName(messages.channel.get(place.counter));
    if (event.channel === undefined || event.channel === published) return true;
    this.#findings.add(
      "phantom",
      () => `${event.id} was published on ${published} and came on ${event.channel}`,
    );
    return false;
  }

  #content(event: Start, { place, messages }: Subject): void {
    const published = messages.hash.get(place.counter);
    if (event.hash === undefined || published === 0 || event.hash === published) return;
    this.#findings.add("corrupt", () => event.id);
  }

  #time(event: Start, { place, messages, rows, group }: Subject): void {
    // Of several copies nobody can say which one was given back.
    const isKnown = messages.copies.get(place.counter) <= 1 && this.#settings.settlements === "final";
    const givenBack = isKnown ? rows.notBefore.get(place.counter) : 0;
    const notBefore = Math.max(messages.notBefore.get(place.counter), givenBack);
    const earlyMs = notBefore - event.at;
    if (earlyMs > this.#settings.earlyToleranceMs) {
      this.#findings.add("early", () => `${event.id} in ${group.name} by ${earlyMs.toFixed(2)} ms`);
    }
    const expiresAt = messages.expiresAt.get(place.counter);
    const lateMs = event.at - expiresAt;
    if (expiresAt > 0 && lateMs > this.#settings.expiryToleranceMs) {
      this.#findings.add(
        "expired-run",
        () => `${event.id} in ${group.name} ${Math.round(lateMs)} ms after its end`,
      );
    }
  }

  #count(subject: Subject): void {
    const { rows, messages, place } = subject;
    const at = place.counter;
    const starts = rows.starts.get(at);
    const copies = Math.max(1, messages.copies.get(at) + rows.replays.get(at));
    const { guarantee, settlements } = this.#settings;
    // At-most-once acknowledges first and starts then.
    if (guarantee !== "at-most-once" && settlements === "final" && rows.acks.get(at) >= copies) {
      this.#findings.add("resurrect", () => `${this.#name(subject)} came again after it was acknowledged`);
    } else if (guarantee === "at-most-once" && starts >= copies) {
      this.#findings.add("duplicate-effect", () => `${this.#name(subject)} started ${starts + 1} times`);
    } else if (
      this.#settings.redelivery === "explained" &&
      copies === 1 &&
      rows.state.has(at, DELIVERY.open)
    ) {
      this.#findings.add("duplicate-effect", () => `${this.#name(subject)} was handed out twice at once`);
    }
  }

  #attempts(event: Start, subject: Subject): void {
    const { rows, messages, place } = subject;
    const at = place.counter;
    const { attempts, maxAttempts } = this.#settings;
    if (attempts === "unknown" || messages.copies.get(at) > 1) return;
    const last = rows.attempt.get(at);
    const same = Math.max(1, last);
    const least = rows.state.has(at, DELIVERY.uncounted) ? same : last + 1;
    const most = (rows.state.get(at) & RETURNED) === DELIVERY.uncounted ? same : last + 1;
    if (event.attempt < least) {
      this.#findings.add(
        "lost-attempt",
        () => `${this.#name(subject)} came as attempt ${event.attempt}, not ${least}`,
      );
    }
    if ((attempts === "exact" && event.attempt > most) || event.attempt > maxAttempts) {
      this.#findings.add("extra-attempt", () => `${this.#name(subject)} came as attempt ${event.attempt}`);
    }
  }

  #effect(subject: Subject): void {
    const { rows, group, messages, place } = subject;
    const before = rows.effects.get(place.counter);
    rows.effects.add(place.counter, 1);
    if (before === 0) {
      group.handled++;
      if (this.#settings.order === "strict") this.#order.effect(group.firstEffects, messages, place);
    } else if (this.#settings.guarantee === "exactly-once") {
      this.#findings.add("duplicate-effect", () => `${this.#name(subject)} took effect ${before + 1} times`);
    }
  }

  #ack(at: number, { rows, messages, place }: Subject): void {
    const { counter } = place;
    const expiresAt = messages.expiresAt.get(counter);
    rows.acks.add(counter, 1);
    if (rows.starts.get(counter) === 0 && expiresAt > 0 && expiresAt <= at)
      rows.state.raise(counter, DELIVERY.expired);
    rows.state.lower(counter, DELIVERY.open);
  }

  #giveBack({ rows, place }: Subject, as: number, notBefore: number): void {
    rows.state.lower(place.counter, DELIVERY.open);
    rows.state.raise(place.counter, as);
    rows.notBefore.set(place.counter, notBefore);
  }

  #replay({ rows, place }: Subject): void {
    const at = place.counter;
    rows.replays.add(at, 1);
    rows.state.set(at, 0);
    rows.attempt.set(at, 0);
    rows.failures.set(at, 0);
    rows.notBefore.set(at, 0);
  }

  #name({ place, group }: Subject): string {
    return `${this.#tables.show(place)} in ${group.name}`;
  }
}
