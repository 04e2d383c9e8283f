import type { HistoryEvent } from "./history.ts";
import type { Place } from "./id-index.ts";
import type { CheckSettings } from "./options.ts";
import { PUBLISH, type Messages, type Tables } from "./tables.ts";
import type { Findings } from "./verdict.ts";

type Invoke = Extract<HistoryEvent, { type: "pub.invoke" }>;
type Outcome = Extract<HistoryEvent, { type: "pub.ok" | "pub.fail" | "pub.info" }>;

/** Follows publishes: what was attempted, what it came to, and whether the answer came in time. */
export class PublishRules {
  readonly #tables: Tables;
  readonly #findings: Findings;
  readonly #settings: CheckSettings;

  constructor(tables: Tables, findings: Findings, settings: CheckSettings) {
    this.#tables = tables;
    this.#findings = findings;
    this.#settings = settings;
  }

  invoke(event: Invoke, seq: number): void {
    const { writer, counter } = this.#tables.ids.place(event.id);
    const messages = this.#tables.messages(writer);
    messages.length = Math.max(messages.length, counter + 1);
    messages.copies.add(counter, 1);
    messages.invokedAt.set(counter, event.at);
    if (messages.flags.has(counter, PUBLISH.invoked)) {
      messages.flags.raise(counter, PUBLISH.again | PUBLISH.open);
      return;
    }
    messages.flags.raise(counter, PUBLISH.invoked | PUBLISH.open);
    messages.invokedSeq.set(counter, seq);
    messages.hash.set(counter, event.hash ?? 0);
    messages.batch.set(counter, event.batch ?? 0);
    messages.channel.set(counter, this.#tables.channel(event.channel));
    messages.lane.set(counter, this.#lane(event));
    messages.notBefore.set(counter, event.notBefore ?? 0);
    messages.expiresAt.set(counter, event.expiresAt ?? 0);
  }

  outcome(event: Outcome, seq: number): void {
    const place = this.#tables.ids.place(event.id);
    const { counter } = place;
    const messages = this.#tables.messages(place.writer);
    this.#punctual(place, messages, event.at);
    messages.flags.lower(counter, PUBLISH.open);
    if (event.type === "pub.info") messages.flags.raise(counter, PUBLISH.indeterminate);
    else if (event.type === "pub.ok") {
      messages.flags.raise(counter, PUBLISH.acked);
      messages.okSeq.set(counter, seq);
      if (event.deduplicated === true) messages.copies.add(counter, -1);
    } else {
      messages.flags.raise(counter, PUBLISH.refused);
      messages.copies.add(counter, -1);
    }
  }

  /** What can only be said at the end: hung publishes, and refused ones that arrived all the same. */
  finish(): void {
    const stored = PUBLISH.acked | PUBLISH.indeterminate;
    for (const [writer, messages] of this.#tables.writers().entries()) {
      for (let counter = 0; counter < (messages?.length ?? 0); counter++) {
        const flags = messages?.flags.get(counter) ?? 0;
        const show = () => this.#tables.show({ writer, counter });
        if ((flags & PUBLISH.open) !== 0)
          this.#findings.add("hung-publish", () => `${show()} was never answered`);
        const delivered = (flags & PUBLISH.delivered) !== 0 && (flags & PUBLISH.refused) !== 0;
        if (delivered && (flags & stored) === 0) this.#findings.add("failed-but-delivered", show);
      }
    }
  }

  #lane(event: Invoke): number {
    // A delayed message takes its place when it is due, not when it was published.
    if (event.notBefore !== undefined || (event.key === undefined && !this.#settings.keyless)) return 0;
    return this.#tables.lane(event.channel, event.key, event.priority);
  }

  #punctual(place: Place, messages: Messages, at: number): void {
    const tookMs = at - messages.invokedAt.get(place.counter);
    if (tookMs <= this.#settings.publishTimeoutMs) return;
    this.#findings.add(
      "hung-publish",
      () => `${this.#tables.show(place)} was answered after ${Math.round(tookMs)} ms`,
    );
  }
}
