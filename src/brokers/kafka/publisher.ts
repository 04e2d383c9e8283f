import { setImmediate as turn } from "node:timers/promises";
import type { BrokerPublishOptions, PublishResult } from "../../core/broker.ts";
import { bodyTooLarge } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError } from "../../core/errors.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { Accepted, PublishCall, type Answering } from "./call.ts";
import type { Channels, Home } from "./channels.ts";
import type { Cluster } from "./cluster.ts";
import { recordOf, type RecordToWrite } from "./codec.ts";
import { kafkaError } from "./errors.ts";
import type { Producer } from "./producer.ts";
import { Recent } from "./recent.ts";

/** About what headers and a record cost beside the body. */
const OVERHEAD_BYTES = 300;

/** Brings envelopes to the partitions that they belong to; channels are made when they are first used. */
export class Publisher {
  readonly #cluster: Cluster;
  readonly #channels: Channels;
  readonly #producer: Producer;
  readonly #recent: Recent;

  constructor(cluster: Cluster, channels: Channels, producer: Producer) {
    this.#cluster = cluster;
    this.#channels = channels;
    this.#producer = producer;
    this.#recent = new Recent(cluster.clock, cluster.settings.dedupeWindowMs);
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const call = new PublishCall(envelopes.length);
    // A caller that tries again at once must not keep the event loop, and with it the connection, from coming back.
    if (!this.#cluster.isConnected) await turn();
    const endsAt = this.#cluster.clock.monotonic() + this.#cluster.settings.publishTimeoutMs;
    for (const [at, envelope] of envelopes.entries()) {
      const refusal = this.#refusal(envelope);
      if (refusal !== undefined) call.fail(at, refusal);
      else {
        const to = { call, at, endsAt };
        if (options.dedupe === true) this.#sendOnce(envelope, to);
        else this.#bring(envelope, to, false);
      }
    }
    return call.done;
  }

  /** Envelopes as records for a transaction; whoever reads recognises their ids. Rejects with what a publish is refused with. */
  recordsOf(envelopes: readonly Envelope[]): Promise<readonly RecordToWrite[]> {
    return Promise.all(
      envelopes.map(async (envelope) => {
        const refusal = this.#refusal(envelope);
        if (refusal !== undefined) throw refusal;
        const { channel } = envelope;
        const home = this.#channels.readyOnce(channel) ?? (await this.#channels.ensureOnce(channel));
        return this.#recordOf(envelope, home, true);
      }),
    );
  }

  #refusal(envelope: Envelope): HeraldError | undefined {
    const { maxBodyBytes } = this.#cluster.settings;
    const bytes = envelope.body.byteLength;
    if (bytes > maxBodyBytes) return bodyTooLarge(bytes, maxBodyBytes);
    if (envelope.priority !== DEFAULT_PRIORITY)
      return unsupported(
        "priority",
        "Kafka hands out in the order of its log: wrap the broker in emulate's priority, or publish without one.",
      );
    return undefined;
  }

  /** What this process published before is answered with that; what another did is recognised by whoever reads. */
  #sendOnce(envelope: Envelope, to: Target): void {
    const name = `${envelope.channel} ${envelope.id}`;
    const known = this.#recent.get(name);
    if (known === undefined) {
      const answer = new PublishCall(1);
      this.#recent.add(
        name,
        answer.done.then(([result]) => result as PublishResult),
      );
      void answer.done.then(([result]) => to.call.set(to.at, result as PublishResult));
      this.#bring(envelope, { call: answer, at: 0, endsAt: to.endsAt }, true);
      return;
    }
    void known.then((result) => {
      if (result.ok) to.call.set(to.at, new Accepted(result.position, true));
      else this.#sendOnce(envelope, to);
    });
  }

  #bring(envelope: Envelope, to: Target, once: boolean): void {
    const { channel } = envelope;
    const home = once ? this.#channels.readyOnce(channel) : this.#channels.ready(channel);
    if (home === undefined) void this.#later(envelope, to, once);
    else this.#send(envelope, home, to, once);
  }

  async #later(envelope: Envelope, to: Target, once: boolean): Promise<void> {
    const { channel } = envelope;
    try {
      const home = await (once ? this.#channels.ensureOnce(channel) : this.#channels.ensure(channel));
      this.#send(envelope, home, to, once);
    } catch (error) {
      to.call.fail(to.at, kafkaError(error));
    }
  }

  #send(envelope: Envelope, home: Home, to: Target, once: boolean): void {
    const record = this.#recordOf(envelope, home, once);
    this.#producer.add({ record, bytes: envelope.body.byteLength + OVERHEAD_BYTES, ...to });
  }

  #recordOf(envelope: Envelope, home: Home, once: boolean): RecordToWrite {
    const partition = this.#channels.partitionOf(home, envelope, once);
    return recordOf(envelope, { topic: home.topic, partition }, { sharing: home.shared, once });
  }
}

/** Who waits for the answer, and until when, monotonic. */
interface Target {
  readonly call: Answering;
  readonly at: number;
  readonly endsAt: number;
}

function unsupported(field: string, message: string): HeraldError {
  return new HeraldError("UNSUPPORTED", message, { details: { field } });
}
