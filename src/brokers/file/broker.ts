import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  ChannelReport,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../core/broker.ts";
import { bodyTooLarge, checkSpec } from "../../core/broker-checks.ts";
import { systemClock } from "../../core/clock.ts";
import { Deadlines } from "../../core/deadlines.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { checkChannel } from "../../core/pattern.ts";
import type { Inbox, InboxOptions, Stores } from "../../core/store.ts";
import { FileAdmin } from "./admin.ts";
import { Engine } from "./engine.ts";
import { FileInbox } from "./inbox.ts";
import { fileSettings, type FileBrokerOptions, type FileSettings } from "./options.ts";
import type { Command } from "./protocol.ts";
import { startOf } from "./start-from.ts";
import { FileStores } from "./stores.ts";
import { checkStorage } from "./storage/check-storage.ts";
import { FileSubscription, type SubscriptionHost } from "./subscription.ts";
import { notOpen } from "../shared/lifecycle.ts";

export type { FileBrokerOptions } from "./options.ts";

/**
 * The durable broker that needs no server: one SQLite database in a folder, shared by the processes of one machine.
 * Durability `power`: a publish resolves once its message is on the disk. All abilities. The store is worked on in one
 * thread a process and folder, so that it never holds the event loop.
 */
export class FileBroker implements Broker {
  readonly name = "file";
  readonly admin: BrokerAdmin;
  readonly #settings: FileSettings;
  readonly #subscriptions = new Set<FileSubscription>();
  readonly #waits = new Deadlines<FileSubscription>(systemClock, (subscription) => subscription.giveUp());
  #state: "new" | "opening" | "open" | "closed" = "new";
  #engine: Engine | undefined;
  #host: SubscriptionHost | undefined;
  #client = 0;
  #closing: Promise<void> | undefined;

  /** Throws `INVALID_ARGUMENT` naming the option. */
  constructor(options: FileBrokerOptions = {}) {
    this.#settings = fileSettings(options);
    this.admin = new FileAdmin((command) => this.#ask(command));
  }

  /**
   * Opens the store and makes it when it is not there. Rejects with `UNSAFE_STORAGE`, `STORAGE_FULL`, `STORAGE_CORRUPT`,
   * `UNSUPPORTED` for a SQLite that loses data, or `CONFLICT` when this process has the folder open with other options.
   */
  async open(): Promise<Capabilities> {
    if (this.#state === "closed") throw closed();
    if (this.#state !== "new") throw new HeraldError("ALREADY_EXISTS", "This file broker is open already.");
    this.#state = "opening";
    try {
      const {
        directory,
        pollMs,
        deleteProcessed,
        retainMs,
        retainBytes,
        leaseMs,
        dedupeWindowMs,
        maxChannels,
      } = this.#settings;
      const { directory: path } = checkStorage(directory);
      const engine = await Engine.acquire(path, {
        pollMs,
        deleteProcessed,
        retainMs,
        retainBytes,
        leaseMs,
        dedupeWindowMs,
        maxChannels,
      });
      this.#engine = engine;
      this.#client = engine.newId();
      this.#host = {
        engine,
        waits: this.#waits,
        clock: systemClock,
        closed: () => (this.#state === "closed" ? closed() : undefined),
        left: (subscription) => this.#subscriptions.delete(subscription),
      };
    } catch (error) {
      this.#state = "new";
      throw toHeraldError(error);
    }
    this.#state = "open";
    return {
      durability: "power",
      ordering: "key",
      groups: true,
      broadcast: true,
      wildcard: true,
      priority: true,
      delay: true,
      nackDelay: true,
      replayByPosition: true,
      replayByTime: true,
      lag: true,
      exactAttempts: true,
      lease: true,
      dedupe: true,
      maxBatch: 10_000,
      maxBodyBytes: this.#settings.maxBodyBytes,
    };
  }

  async publish(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions = {},
  ): Promise<readonly PublishResult[]> {
    const engine = this.#opened();
    const dedupe = options.dedupe === true;
    const errors = envelopes.map((envelope) => this.#refusal(envelope));
    if (errors.every((error) => error === undefined))
      return envelopes.length === 0 ? [] : await engine.publish(envelopes, dedupe);
    const accepted = envelopes.filter((_envelope, at) => errors[at] === undefined);
    const results = accepted.length === 0 ? [] : await engine.publish(accepted, dedupe);
    let next = 0;
    return errors.map((error) =>
      error === undefined ? (results[next++] as PublishResult) : { ok: false, error },
    );
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    const engine = this.#opened();
    const { pattern, group, prefetch } = spec;
    checkSpec(spec);
    const from = startOf(spec.from);
    const subscription = new FileSubscription(engine.newId(), prefetch, this.#host as SubscriptionHost);
    const strict = spec.ordering === "strict";
    engine.add(subscription);
    this.#subscriptions.add(subscription);
    try {
      const member = subscription.id;
      await engine.command({ op: "subscribe", member, client: this.#client, pattern, group, strict, from });
    } catch (error) {
      subscription.end();
      this.#subscriptions.delete(subscription);
      throw error;
    }
    return subscription;
  }

  async inspect(query: { readonly channels?: readonly string[] } = {}): Promise<BrokerReport> {
    if (this.#state !== "open") return { state: "down", channels: [], dropped: 0 };
    const channels = await this.#ask({ op: "inspect", channels: query.channels ?? null });
    return { state: "up", channels: channels as ChannelReport[], dropped: 0 };
  }

  /** The inbox is usable while the broker is open; before and after it rejects with `CLOSED`. */
  createInbox(options: InboxOptions): Inbox {
    return new FileInbox((command) => this.#ask(command), options);
  }

  /** Usable while the broker is open; before and after they reject with `CLOSED`. */
  createStores(): Stores {
    return new FileStores(() => this.#opened());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const engine = this.#engine;
    this.#state = "closed";
    for (const subscription of this.#subscriptions) subscription.end();
    this.#subscriptions.clear();
    this.#waits.clear();
    await engine?.release(this.#client);
  }

  #opened(): Engine {
    if (this.#state !== "open" || this.#engine === undefined) throw closed();
    return this.#engine;
  }

  async #ask(command: Command): Promise<unknown> {
    return await this.#opened().command(command);
  }

  #refusal({ body, channel }: Envelope): HeraldError | undefined {
    const { maxBodyBytes } = this.#settings;
    if (body.byteLength > maxBodyBytes) return bodyTooLarge(body.byteLength, maxBodyBytes);
    try {
      checkChannel(channel);
      return undefined;
    } catch (error) {
      return toHeraldError(error);
    }
  }
}

const closed = (): HeraldError => notOpen("file");
