import type {
  Broker,
  BrokerPublishOptions,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import { BrokerWrapper, SubscriptionWrapper } from "../../core/broker-wrapper.ts";
import type { History, HistoryEntry } from "../checker/history.ts";
import { hashEnvelope } from "./hash.ts";

/** After these nobody knows whether the message was stored; every other code is a definite refusal. */
const INDETERMINATE: ReadonlySet<string> = new Set(["PUBLISH_UNKNOWN", "TIMEOUT", "INTERNAL"]);

/** The event of a publish that failed: a definite refusal, or one that may have been stored all the same. */
export function failedPublish(id: string, error: HeraldError): HistoryEntry {
  return { type: INDETERMINATE.has(error.code) ? "pub.info" : "pub.fail", id, code: error.code };
}

/** What the recorders of one case share. */
export interface CaseRecords {
  readonly history: History;
  /** Ids that were published through a recorder. */
  readonly published: Set<string>;
  /** Those of them whose content was hashed as a message, not as an envelope. */
  readonly hashedAsMessage: Set<string>;
  batches: number;
  consumers: number;
}

/** Writes everything that passes between a case and its broker into the history: handing out is starting, acking is the effect. */
export class RecordedBroker extends BrokerWrapper {
  readonly #records: CaseRecords;
  readonly #history: History;

  constructor(inner: Broker, records: CaseRecords) {
    super(inner);
    this.#records = records;
    this.#history = records.history;
  }

  override async publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const batch = ++this.#records.batches;
    for (const envelope of envelopes) {
      this.#records.published.add(envelope.id);
      this.#history.add(invocation(envelope, batch));
    }
    try {
      const results = await this.inner.publish(envelopes, options);
      for (const [at, envelope] of envelopes.entries()) this.#answered(envelope, results[at]);
      return results;
    } catch (error) {
      for (const { id } of envelopes) this.#history.add(failedPublish(id, toHeraldError(error)));
      throw error;
    }
  }

  override async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const subscription = await this.inner.subscribe(spec);
    const consumer = `consumer-${++this.#records.consumers}`;
    const group = spec.group ?? `broadcast:${consumer}`;
    const from = spec.from === "earliest" ? "earliest" : "new";
    this.#history.add({ type: "subscribe", group, pattern: spec.pattern, from });
    const recorder = { history: this.#history, group, consumer, isBroadcast: spec.group === null };
    return new RecordedSubscription(subscription, recorder);
  }

  #answered({ id }: Envelope, result: PublishResult | undefined): void {
    if (result === undefined) return;
    if (result.ok) this.#history.add({ type: "pub.ok", id, deduplicated: result.deduplicated });
    else this.#history.add(failedPublish(id, result.error));
  }
}

interface Recorder {
  readonly history: History;
  readonly group: string;
  readonly consumer: string;
  readonly isBroadcast: boolean;
}

class RecordedSubscription extends SubscriptionWrapper {
  readonly #recorder: Recorder;
  // A second settlement of a delivery is ignored by contract, so it is no event.
  readonly #settled = new WeakSet<Delivery>();

  constructor(inner: Subscription, recorder: Recorder) {
    super(inner);
    this.#recorder = recorder;
  }

  override async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const deliveries = await this.inner.receive(limit, waitMs);
    const { history, group, consumer } = this.#recorder;
    for (const { envelope, attempt } of deliveries) {
      const { id, channel } = envelope;
      history.add({ type: "start", id, group, attempt, consumer, channel, hash: hashEnvelope(envelope) });
    }
    return deliveries;
  }

  override async settle(settlements: readonly Settlement[]): Promise<void> {
    const first = settlements.filter(
      ({ kind, delivery }) => kind !== "extend" && !this.#settled.has(delivery),
    );
    for (const settlement of first) {
      this.#settled.add(settlement.delivery);
      this.#before(settlement);
    }
    try {
      await this.inner.settle(settlements);
      for (const settlement of first) this.#after(settlement, "ack.ok");
    } catch (error) {
      for (const settlement of first) {
        this.#settled.delete(settlement.delivery);
        this.#after(settlement, "ack.info");
      }
      throw error;
    }
  }

  override async close(): Promise<void> {
    const { history, group, isBroadcast } = this.#recorder;
    if (isBroadcast) history.add({ type: "unsubscribe", group });
    await this.inner.close();
  }

  /** What is given back may be handed out again before the call returns. */
  #before(settlement: Settlement): void {
    const { history, group } = this.#recorder;
    const { id } = settlement.delivery.envelope;
    if (settlement.kind === "ack") history.add({ type: "commit.ok", id, group });
    else if (settlement.kind !== "extend") {
      history.add({ type: settlement.kind, id, group, delayMs: settlement.delayMs });
    }
  }

  #after({ kind, delivery }: Settlement, type: "ack.ok" | "ack.info"): void {
    if (kind !== "ack" && type === "ack.ok") return;
    this.#recorder.history.add({ type, id: delivery.envelope.id, group: this.#recorder.group });
  }
}

function invocation(envelope: Envelope, batch: number): HistoryEntry {
  return {
    type: "pub.invoke",
    id: envelope.id,
    channel: envelope.channel,
    key: envelope.key,
    priority: envelope.priority,
    hash: hashEnvelope(envelope),
    notBefore: envelope.deliverAt,
    expiresAt: envelope.expiresAt,
    batch,
  };
}
