import { EventEmitter } from "node:events";
import {
  CoordinationMode,
  FailoverBroker,
  type CoordinationModeManager,
} from "../brokers/failover/broker.ts";
import type { Broker } from "../core/broker.ts";
import { HeraldError, toHeraldError, type HeraldError as Failure } from "../core/errors.ts";
import { EVENTS } from "../core/events.ts";
import type { Message } from "../core/message.ts";
import { agentChannel, BROADCAST_CHANNEL, checkAgentId } from "../core/names.ts";
import {
  checkBusMessage,
  ChannelNames,
  createBusMessage,
  MessageType,
  publishOptionsOf,
  toBusMessage,
  type BusHandler,
  type BusMessage,
} from "./bus-message.ts";
import { historyOf } from "./bus-history.ts";
import { busBroker, type MessageBusOptions } from "./bus-options.ts";
import { BusStatistics, type MessageBusStats } from "./bus-stats.ts";
import type { SubscriptionHandle } from "./options.ts";
import { MessagingService } from "./service.ts";

/** Events of a bus and what their listeners are called with. */
export interface MessageBusEvents {
  started: [about: { readonly mode: CoordinationMode }];
  stopped: [];
  published: [about: { readonly channel: string; readonly message: BusMessage; readonly latency: number }];
  publishError: [about: { readonly channel: string; readonly message: BusMessage; readonly error: Failure }];
  received: [about: { readonly channel: string; readonly message: BusMessage }];
  subscribed: [about: { readonly channel: string }];
  unsubscribed: [about: { readonly channel: string }];
  /** A handler threw; the other handlers of the channel run all the same. */
  handlerError: [about: { readonly channel: string; readonly message: BusMessage; readonly error: unknown }];
  /** Something that is no message came; it lies in the dead letters. */
  parseError: [about: { readonly channel: string; readonly rawMessage: string; readonly error: string }];
  modeChanging: [about: { readonly from: CoordinationMode; readonly to: CoordinationMode }];
  modeChanged: [about: { readonly from: CoordinationMode; readonly to: CoordinationMode }];
  modeChangeError: [error: Error];
  /** Publishers write somewhere else now; subscriptions are what they were. */
  transportSwitched: [about: { readonly from: CoordinationMode; readonly to: CoordinationMode }];
}

/** Dead letters of these reasons never were messages. */
const UNREADABLE: ReadonlySet<string> = new Set([
  "MALFORMED",
  "UNSAFE_PAYLOAD",
  "DEPTH_LIMIT",
  "UNSERIALIZABLE",
]);

interface Subscribed {
  readonly handlers: Set<BusHandler>;
  readonly handle: SubscriptionHandle;
}

/**
 * A hub and its agents, over any broker: unicast on `agent-<id>`, broadcast on `hub-broadcast`, and what else they name.
 * Over a failover broker it goes on through files when the primary is away; nothing published is lost on the way, and
 * subscriptions outlive every switch.
 */
export class MessageBus extends EventEmitter<MessageBusEvents> {
  readonly #service: MessagingService;
  readonly #broker: Broker;
  readonly #modes: CoordinationModeManager | undefined;
  readonly #messageTimeout: number;
  readonly #retryAttempts: number;
  readonly #subscriptions = new Map<string, Subscribed>();
  /** Handlers that are done with a message which others have failed: they are not called again. */
  readonly #doneWith = new Map<string, Set<BusHandler>>();
  readonly #stats = new BusStatistics();

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(options: MessageBusOptions) {
    super();
    const { config = {}, logger } = options;
    this.#broker = busBroker(options);
    this.#modes = this.#broker instanceof FailoverBroker ? this.#broker.coordination : undefined;
    this.#messageTimeout = config.messageTimeout ?? 60_000;
    this.#retryAttempts = config.retryAttempts ?? 3;
    this.#service = new MessagingService({
      agentId: options.agentId,
      broker: this.#broker,
      retry: { maxAttempts: this.#retryAttempts + 1, backoff: { initialDelayMs: config.retryDelay ?? 1000 } },
      ...(logger === undefined ? {} : { logger }),
    });
  }

  /** A message with an id and a time. */
  static createMessage = createBusMessage;

  /** Opens the broker. Idempotent. */
  async start(): Promise<void> {
    if (this.#service.isRunning) return;
    await this.#service.start();
    this.#modes?.on("modeChanged", this.#onMode);
    this.#modes?.on("transitionStarted", this.#onTransition);
    this.#modes?.on("transitionFailed", this.#onTransitionFailed);
    EVENTS.deadLettered.subscribe(this.#onDeadLetter);
    this.emit("started", { mode: this.getMode() });
  }

  /** Lets handlers finish, closes the broker. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#service.isRunning) return;
    this.#modes?.off("modeChanged", this.#onMode);
    this.#modes?.off("transitionStarted", this.#onTransition);
    this.#modes?.off("transitionFailed", this.#onTransitionFailed);
    EVENTS.deadLettered.unsubscribe(this.#onDeadLetter);
    await this.#service.stop();
    this.#subscriptions.clear();
    this.emit("stopped");
  }

  /** Resolves with the id once a broker has the message. Rejects with `INVALID_ARGUMENT`, and as `MessagingService.publish`. */
  async publish(channel: string, message: BusMessage): Promise<string> {
    checkBusMessage(message);
    const startedAt = performance.now();
    try {
      const options = publishOptionsOf(message, this.#messageTimeout);
      const id = await this.#service.publish(channel, message.payload, options);
      const latency = performance.now() - startedAt;
      this.#stats.sent(latency);
      this.emit("published", { channel, message, latency });
      return id;
    } catch (thrown) {
      const error = toHeraldError(thrown);
      this.#stats.failed();
      this.emit("publishError", { channel, message, error });
      throw error;
    }
  }

  /** To one agent. */
  async publishToAgent(agentId: string, message: BusMessage): Promise<string> {
    checkAgentId(agentId);
    return this.publish(agentChannel(agentId), { to: agentId, ...message });
  }

  /** To every party that listens on `hub-broadcast`. */
  broadcast(message: BusMessage): Promise<string> {
    return this.publish(BROADCAST_CHANNEL, message);
  }

  /** Handles what is published on a channel or pattern from now on. Handlers of one channel all get every message. */
  async subscribe(channel: string, handler: BusHandler): Promise<void> {
    const known = this.#subscriptions.get(channel);
    if (known !== undefined) {
      known.handlers.add(handler);
      return;
    }
    const handlers = new Set([handler]);
    const handle = await this.#service.subscribe(channel, (message, { attempt }) =>
      this.#dispatch(channel, message, { handlers, isLast: attempt > this.#retryAttempts }),
    );
    this.#subscriptions.set(channel, { handlers, handle });
    this.emit("subscribed", { channel });
  }

  /** One handler, or all of a channel; running ones finish. What is not subscribed: no error. */
  async unsubscribe(channel: string, handler?: BusHandler): Promise<void> {
    const known = this.#subscriptions.get(channel);
    if (known === undefined) return;
    if (handler !== undefined) known.handlers.delete(handler);
    if (handler !== undefined && known.handlers.size > 0) return;
    this.#subscriptions.delete(channel);
    await known.handle.unsubscribe();
    this.emit("unsubscribed", { channel });
  }

  async unsubscribeAll(): Promise<void> {
    await Promise.all([...this.#subscriptions.keys()].map((channel) => this.unsubscribe(channel)));
  }

  /**
   * What is still kept of a channel, newest first, handled or not; undecodable ones are left out. Reads the channel from its
   * beginning. Rejects with `INVALID_CHANNEL`, `INVALID_ARGUMENT`, `CLOSED`, `UNSUPPORTED`.
   */
  async getMessageHistory(channel: string, count = 100): Promise<BusMessage[]> {
    return historyOf(this.#service.broker.admin, { channel, count });
  }

  /** True while what is published reaches a broker. */
  isConnected(): boolean {
    return this.#service.isRunning;
  }

  /** Where publishers write. A bus over one broker alone is DISTRIBUTED, over files alone ISOLATED. */
  getMode(): CoordinationMode {
    if (this.#modes !== undefined) return this.#modes.getMode();
    return this.#broker.name === "file" ? CoordinationMode.ISOLATED : CoordinationMode.DISTRIBUTED;
  }

  getStats(): MessageBusStats {
    return this.#stats.read({
      mode: this.getMode(),
      isTransitioning: this.#modes?.isTransitioning ?? false,
      pendingMessages: this.#broker instanceof FailoverBroker ? this.#broker.pendingPublishes : 0,
      // The first mode is no transition.
      modeTransitions: Math.max(0, (this.#modes?.epoch ?? 1) - 1),
      activeSubscriptions: this.#subscriptions.size,
      connected: this.isConnected(),
      type: this.#transportOf(this.getMode()),
    });
  }

  #transportOf(mode: CoordinationMode): string {
    if (!(this.#broker instanceof FailoverBroker)) return this.#broker.name;
    const { primary, fallback } = this.#broker.sides;
    return mode === CoordinationMode.ISOLATED ? fallback : primary;
  }

  async #dispatch(
    channel: string,
    message: Message,
    { handlers, isLast }: { readonly handlers: ReadonlySet<BusHandler>; readonly isLast: boolean },
  ): Promise<void> {
    const received = toBusMessage(message);
    this.#stats.received();
    this.emit("received", { channel: message.channel, message: received });
    const done = this.#doneWith.get(message.id) ?? new Set();
    let failure: unknown;
    for (const handler of handlers) {
      if (done.has(handler)) continue;
      try {
        await handler(received);
        done.add(handler);
      } catch (error) {
        failure ??= error ?? new HeraldError("HANDLER_FAILED", `A handler of '${channel}' failed.`);
        this.emit("handlerError", { channel: message.channel, message: received, error });
      }
    }
    if (failure === undefined || isLast) this.#doneWith.delete(message.id);
    else this.#doneWith.set(message.id, done);
    if (failure !== undefined) throw failure;
  }

  readonly #onMode = (from: CoordinationMode | null, to: CoordinationMode): void => {
    if (from === null) return;
    this.emit("modeChanged", { from, to });
    if (this.#transportOf(from) !== this.#transportOf(to)) this.emit("transportSwitched", { from, to });
    void this.#tell(from, to);
  };

  readonly #onTransition = (from: CoordinationMode, to: CoordinationMode): void => {
    this.emit("modeChanging", { from, to });
  };

  readonly #onTransitionFailed = (error: Error): void => {
    this.emit("modeChangeError", error);
  };

  /** The others hear of it; whether they do changes nothing here. */
  async #tell(from: CoordinationMode, to: CoordinationMode): Promise<void> {
    try {
      const about = createBusMessage(MessageType.MODE_CHANGE, this.#service.agentId, { from, to });
      await this.publish(ChannelNames.coordination("mode_change"), about);
    } catch {
      // Told as publishError already.
    }
  }

  readonly #onDeadLetter = (event: unknown): void => {
    const { agent, envelope, reason } = event as {
      readonly agent: string;
      readonly envelope: { readonly channel: string; readonly body: Uint8Array };
      readonly reason: string;
    };
    if (agent !== this.#service.agentId || !UNREADABLE.has(reason)) return;
    const rawMessage = new TextDecoder().decode(envelope.body);
    this.emit("parseError", { channel: envelope.channel, rawMessage, error: reason });
  };
}
