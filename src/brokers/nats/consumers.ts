import { emit } from "../../core/events.ts";
import { HeraldError } from "../../core/errors.ts";
import type { ConsumerInfo } from "./api.ts";
import { isConsumerMissing, isThereAlready } from "./errors.ts";
import { consumerOf } from "./names.ts";
import type { Reader } from "./reader.ts";
import type { Session } from "./session.ts";
import { startAt, type Start } from "./start-from.ts";

const NANOS = 1e6;
/** The server waits so much longer than a delivery is ours: an acknowledgement that is sent in time arrives in time. */
const LEASE_MARGIN = 1.25;
/** A listener that nobody asks for so long is forgotten by the server. */
const LISTENER_KEPT_MS = 10 * 60_000;
const MAX_WAITING = 10_000;

/** Makes, finds and drops the consumers on the server, and tells what is missing when one had to be made again. */
export class Consumers {
  readonly #session: Session;
  /** When the stream was made that places are known of. */
  created = "";

  constructor(session: Session) {
    this.#session = session;
  }

  /** The consumer of a group: as it is, or made to begin at `start`. True: it was there. */
  async join(reader: Reader, start: Start): Promise<boolean> {
    const found = await this.#find(reader);
    if (found !== undefined) {
      await this.#register(reader);
      this.#took(reader, found);
      return true;
    }
    // First the record and then the consumer: whoever comes next sees who was before.
    await this.#register(reader);
    this.#took(reader, await this.#make(reader, { ...start, durable_name: reader.consumer }));
    return false;
  }

  /** The consumer of one listener. */
  async listen(reader: Reader, start: Start): Promise<void> {
    this.#took(reader, await this.#make(reader, { ...start, ...this.#listenerOptions() }));
  }

  /**
   * Makes sure that the consumer stands. One that somebody deleted goes on behind what was acknowledged. False: the group was
   * dropped.
   */
  async repair(reader: Reader): Promise<boolean> {
    await this.#session.restore();
    const isSameStream = !reader.isMoved;
    const found = await this.#find(reader);
    if (found !== undefined) {
      // Whoever has made it has told what is gone.
      reader.expected.takeAbandoned();
      this.#took(reader, found);
      return true;
    }
    const { group, expected } = reader;
    if (isSameStream && group !== null && !(await this.#isRegistered(reader))) return false;
    if (group !== null) await this.#register(reader);
    const floor = isSameStream ? expected.floor : 0;
    const start: Start = floor === undefined ? { deliver_policy: "all" } : startAt(floor + 1);
    const options = group === null ? this.#listenerOptions() : { durable_name: reader.consumer };
    const { published } = expected;
    const made = await this.#make(reader, { ...start, ...options });
    const missing = isSameStream ? expected.missingAnew(made, published) : expected.takeAbandoned();
    await this.tell(reader, missing, isSameStream ? "consumer" : "stream");
    this.#took(reader, made);
    return true;
  }

  async remove(reader: Reader): Promise<void> {
    const { api, names } = this.#session;
    await api.call(`CONSUMER.DELETE.${names.stream}.${reader.consumer}`);
  }

  /** Forgets that a group reads a pattern. */
  async drop(pattern: string, group: string): Promise<void> {
    const { api, names } = this.#session;
    const consumer = consumerOf(pattern, group);
    await api.purge(names.records, { filter: names.record(pattern, group) });
    try {
      await api.call(`CONSUMER.DELETE.${names.stream}.${consumer}`);
    } catch (error) {
      if (!isConsumerMissing(error)) throw error;
    }
    await api.purge(names.records, { filter: names.note(consumer, "*") });
    await api.purge(names.records, { filter: names.hand(consumer, "*") });
  }

  /** Tells of messages that are gone, unless somebody took them away on purpose. */
  async tell(reader: Reader, count: number, what: "consumer" | "channel" | "stream"): Promise<void> {
    const { at } = reader.expected;
    if (count === 0 || at === undefined || (await this.#wasPurged(at))) return;
    const { pattern, group } = reader;
    const message = `${count} messages of '${pattern}' are gone that group '${group}' had not handled: its ${what} was deleted, trimmed or purged in NATS.`;
    const error = new HeraldError("DATA_LOSS_DETECTED", message, {
      details: { channel: pattern, group, count },
    });
    emit("dataLost", () => ({ broker: "nats", channel: pattern, group, count, error }));
  }

  /** Writes that messages are taken away on purpose. */
  async purging(): Promise<void> {
    const { api, names, clock } = this.#session;
    await api.store(names.declared(PURGED), JSON.stringify({ purgedAt: clock.now() }));
  }

  async #wasPurged(since: number): Promise<boolean> {
    const { api, names } = this.#session;
    const found = await api.message(names.records, { last_by_subj: names.declared(PURGED) });
    if (found === undefined) return false;
    // The clocks of two processes differ by a little.
    return found.storedAt >= since - SKEW_MS;
  }

  #listenerOptions(): object {
    return { inactive_threshold: LISTENER_KEPT_MS * NANOS };
  }

  async #find(reader: Reader): Promise<ConsumerInfo | undefined> {
    const { api, names } = this.#session;
    try {
      return await api.consumer(names.stream, reader.consumer);
    } catch (error) {
      if (!isConsumerMissing(error)) throw error;
      return undefined;
    }
  }

  async #make(reader: Reader, options: object): Promise<ConsumerInfo> {
    const { api, names, settings } = this.#session;
    const { pattern, group, consumer } = reader;
    const filters = names.filters(pattern);
    const config = {
      name: consumer,
      ack_policy: "explicit",
      ack_wait: Math.ceil(settings.leaseMs * LEASE_MARGIN * NANOS),
      max_deliver: -1,
      // What waits for its time is unacknowledged, and holds nothing up.
      max_ack_pending: -1,
      max_waiting: MAX_WAITING,
      replay_policy: "instant",
      metadata: { "herald-pattern": pattern, ...(group === null ? {} : { "herald-group": group }) },
      ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }),
      ...options,
    };
    const subject = `CONSUMER.CREATE.${names.stream}.${consumer}`;
    try {
      return await api.call(subject, { stream_name: names.stream, config, action: "create" });
    } catch (error) {
      // Another process was faster.
      if (!isThereAlready(error)) throw error;
      return api.consumer(names.stream, consumer);
    }
  }

  #took(reader: Reader, info: ConsumerInfo): void {
    const waitMs = (info.config.ack_wait ?? 30_000 * NANOS) / NANOS;
    reader.leaseMs = Math.floor(waitMs / LEASE_MARGIN);
    reader.stream = this.created;
    reader.isMoved = false;
    reader.expected.seen(info, this.#session.clock.now());
  }

  async #isRegistered(reader: Reader): Promise<boolean> {
    return (await this.#record(reader)) !== undefined;
  }

  async #record(reader: Reader): Promise<number | undefined> {
    const { api, names } = this.#session;
    const subject = names.record(reader.pattern, reader.group as string);
    return (await api.message(names.records, { last_by_subj: subject }))?.sequence;
  }

  async #register(reader: Reader): Promise<void> {
    const { api, names } = this.#session;
    const { pattern } = reader;
    const group = reader.group as string;
    reader.record =
      (await this.#record(reader)) ??
      (await api.store(names.record(pattern, group), JSON.stringify({ pattern, group })));
  }
}

/** No channel has this name. */
const PURGED = "~purged";
const SKEW_MS = 1000;
