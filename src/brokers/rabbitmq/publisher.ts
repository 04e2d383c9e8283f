import { setImmediate as turn } from "node:timers/promises";
import type { BrokerPublishOptions, PublishResult } from "../../core/broker.ts";
import { bodyTooLarge } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { checkChannel } from "../../core/pattern.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { propertiesOf } from "./codec.ts";
import { publishError, rabbitError } from "./errors.ts";
import type { Session } from "./session.ts";
import type { Standing } from "./standing.ts";
import { rungFor, type Topology } from "./topology.ts";
import type { Writer } from "./writer.ts";

/** Publishes envelopes; every one is confirmed by the server or fails by name. */
export class Publisher {
  readonly #session: Session;
  readonly #writer: Writer;
  readonly #topology: Topology;
  readonly #standing: Standing;

  constructor(parts: {
    readonly session: Session;
    readonly writer: Writer;
    readonly topology: Topology;
    readonly standing: Standing;
  }) {
    this.#session = parts.session;
    this.#writer = parts.writer;
    this.#topology = parts.topology;
    this.#standing = parts.standing;
  }

  /** Results are positional. */
  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions = {},
  ): Promise<readonly PublishResult[]> {
    // A caller that tries again at once must not keep the event loop, and with it the connection, from coming back.
    if (!this.#session.links.publishing.isUp) await turn();
    return Promise.all(envelopes.map((envelope) => this.#publish(envelope, options.dedupe === true)));
  }

  #publish(envelope: Envelope, dedupe: boolean): Promise<PublishResult> {
    try {
      checkChannel(envelope.channel);
      const bytes = envelope.body.byteLength;
      const { maxBodyBytes } = this.#session.settings;
      if (bytes > maxBodyBytes) throw bodyTooLarge(bytes, maxBodyBytes);
      if (envelope.priority !== DEFAULT_PRIORITY) throw noPriority();
      if (dedupe) throw noDedupe();
    } catch (error) {
      return Promise.resolve({ ok: false, error: toHeraldError(error) });
    }
    const standing = this.#standing.ready(envelope.channel);
    return standing === undefined ? this.#timely(envelope) : this.#after(standing, envelope);
  }

  async #after(standing: Promise<void>, envelope: Envelope): Promise<PublishResult> {
    try {
      await standing;
    } catch (error) {
      return { ok: false, error: rabbitError(error) };
    }
    return this.#timely(envelope);
  }

  #timely(envelope: Envelope): Promise<PublishResult> {
    const delayMs = envelope.deliverAt === undefined ? 0 : envelope.deliverAt - this.#session.clock.now();
    const rungMs = rungFor(delayMs);
    return rungMs === undefined ? this.#now(envelope) : this.#later(envelope, rungMs);
  }

  #now(envelope: Envelope): Promise<PublishResult> {
    const properties = propertiesOf(envelope);
    properties.mandatory = true;
    return this.#send(this.#session.names.exchange, envelope, properties);
  }

  async #later(envelope: Envelope, rungMs: number): Promise<PublishResult> {
    try {
      const exchange = await this.#topology.rung("delay", rungMs);
      return await this.#send(exchange, envelope, {
        ...propertiesOf(envelope),
        expiration: String(rungMs),
      });
    } catch (error) {
      return { ok: false, error: publishError(error) };
    }
  }

  #send(
    exchange: string,
    envelope: Envelope,
    properties: ReturnType<typeof propertiesOf>,
  ): Promise<PublishResult> {
    return new Promise((resolve) => {
      this.#writer.send({
        exchange,
        key: envelope.channel,
        body: envelope.body,
        properties,
        done: (error, isUnrouted) =>
          resolve(
            error === undefined
              ? { ok: true, position: null, deduplicated: false, matched: isUnrouted ? 0 : null }
              : { ok: false, error: publishError(error) },
          ),
      });
    });
  }
}

function noPriority(): HeraldError {
  const message =
    "The RabbitMQ broker keeps no order of priority: publish with the default one, or put withPriority() of herald/brokers/emulate around the broker.";
  return new HeraldError("UNSUPPORTED", message, { details: { field: "priority" } });
}

function noDedupe(): HeraldError {
  const message =
    "RabbitMQ does not recognise ids published again: publish without dedupe, and let the inbox of the consumer recognise them.";
  return new HeraldError("UNSUPPORTED", message, { details: { field: "dedupe" } });
}
