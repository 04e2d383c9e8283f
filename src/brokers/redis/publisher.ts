import { setImmediate as turn } from "node:timers/promises";
import type { BrokerPublishOptions, PublishResult } from "../../core/broker.ts";
import { bodyTooLarge } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { toHeraldError } from "../../core/errors.ts";
import { checkChannel } from "../../core/pattern.ts";
import { pushFields } from "./codec.ts";
import { publishError } from "./errors.ts";
import { laneOf, type Lane } from "./keys.ts";
import type { RedisSettings } from "./options.ts";
import { Accepted, Outbox, Outgoing, PublishCall, type Sorted } from "./outbox.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";
import type { Channel, Topology } from "./topology.ts";
import type { Wakes } from "./wakes.ts";

/** What the publisher works with. */
export interface PublisherParts {
  readonly session: Session;
  readonly topology: Topology;
  readonly registry: Registry;
  readonly wakes: Wakes;
  readonly settings: RedisSettings;
}

/** Sorts envelopes into the outboxes of their lanes, which are written once a turn of the event loop. */
export class Publisher {
  readonly #parts: PublisherParts;
  #dirty: Outbox[] = [];

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const call = new PublishCall(envelopes.length);
    const dedupe = options.dedupe === true;
    // A caller that tries again at once must not keep the event loop, and with it the connection, from coming back.
    if (!this.#parts.session.isUp) await turn();
    for (const [at, envelope] of envelopes.entries()) this.#sort(new Outgoing(envelope, call, at, dedupe));
    return call.done;
  }

  /** Sorts envelopes that a commit writes; resolves once their lanes stand. Rejects with what a publish rejects with. */
  async sorted(envelopes: readonly Envelope[]): Promise<Sorted> {
    const { topology, settings, session } = this.#parts;
    const written = new Map<Outbox, Envelope[]>();
    const shouts: [string, string][] = [];
    for (const envelope of envelopes) {
      const bytes = envelope.body.byteLength;
      if (bytes > settings.maxBodyBytes) throw bodyTooLarge(bytes, settings.maxBodyBytes);
      checkChannel(envelope.channel);
      if (topology.isEphemeral(envelope.channel)) {
        shouts.push([session.keys.ephemeral(envelope.channel), shoutOf(envelope)]);
        continue;
      }
      const channel = topology.channel(envelope.channel);
      const lane = laneOf(envelope);
      const outbox = channel.outboxes.get(lane) ?? this.#outbox(channel, lane);
      const known = written.get(outbox);
      if (known === undefined) written.set(outbox, [envelope]);
      else known.push(envelope);
    }
    await Promise.all([...written.keys()].map((outbox) => outbox.stand()));
    return { written, shouts };
  }

  #sort(outgoing: Outgoing): void {
    const { envelope, call, at } = outgoing;
    const { topology, settings } = this.#parts;
    const bytes = envelope.body.byteLength;
    if (bytes > settings.maxBodyBytes) {
      call.fail(at, bodyTooLarge(bytes, settings.maxBodyBytes));
      return;
    }
    let channel = topology.channels.get(envelope.channel);
    if (channel === undefined) {
      try {
        checkChannel(envelope.channel);
      } catch (error) {
        call.fail(at, toHeraldError(error));
        return;
      }
      if (topology.isEphemeral(envelope.channel)) {
        void this.#shout(outgoing);
        return;
      }
      channel = topology.channel(envelope.channel);
    }
    const lane = laneOf(envelope);
    const outbox = channel.outboxes.get(lane) ?? this.#outbox(channel, lane);
    if (!outbox.add(outgoing)) return;
    if (this.#dirty.push(outbox) === 1) setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const outbox of dirty) outbox.flush();
  };

  #outbox(channel: Channel, lane: Lane): Outbox {
    const { session, registry, wakes, settings } = this.#parts;
    const { name } = channel;
    const outbox = new Outbox(channel.base, lane, {
      session,
      dedupeWindowMs: settings.dedupeWindowMs,
      prepare: (made) => registry.prepare(channel, made),
      gone: () => wakes.tell({ kind: "d", channel: name, delayMs: 0 }),
      appended: (added) => wakes.tell({ kind: "w", channel: name, lane: added }),
      stored: (count) => {
        for (const group of channel.groups.values()) group.published(count);
      },
      delayed: (delayMs) => wakes.tell({ kind: "d", channel: name, delayMs: Math.ceil(delayMs) }),
    });
    channel.outboxes.set(lane, outbox);
    return outbox;
  }

  async #shout({ envelope, call, at }: Outgoing): Promise<void> {
    const { session, settings } = this.#parts;
    const channel = session.keys.ephemeral(envelope.channel);
    try {
      const heard = await session.send("", ["PUBLISH", channel, shoutOf(envelope)]);
      // A node of a cluster counts only those who listen to it.
      call.set(at, new Accepted(null, false, settings.cluster === undefined ? Number(heard) : null));
    } catch (error) {
      call.fail(at, publishError(error));
    }
  }
}

/** What those who listen to a channel that is not stored are told. */
function shoutOf(envelope: Envelope): string {
  const fields: string[] = [];
  pushFields(fields, envelope);
  return JSON.stringify([envelope.channel, fields]);
}
