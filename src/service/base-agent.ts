import { agentChannel, BROADCAST_CHANNEL, checkAgentId } from "../core/names.ts";
import {
  ChannelNames,
  createBusMessage,
  MessageType,
  type BusHandler,
  type BusMessage,
} from "./bus-message.ts";
import type { MessageBus } from "./message-bus.ts";

/** An agent of a hub: hears what is meant for it and what is meant for all, and speaks to the hub. Made to be extended. */
export class BaseAgent {
  readonly agentId: string;
  readonly #bus: MessageBus;
  readonly #onMessage: BusHandler = (message) => this.handleMessage(message);
  readonly #onBroadcast: BusHandler = (message) => this.handleBroadcast(message);
  #isStarted = false;

  /** Throws `INVALID_ARGUMENT` for what cannot be an agent's id. The bus may be shared with others. */
  constructor(agentId: string, bus: MessageBus) {
    checkAgentId(agentId);
    this.agentId = agentId;
    this.#bus = bus;
  }

  /** Starts the bus if need be, and listens on `agent-<agentId>` and `hub-broadcast`. Idempotent. */
  async start(): Promise<void> {
    if (this.#isStarted) return;
    this.#isStarted = true;
    await this.#bus.start();
    await this.#bus.subscribe(agentChannel(this.agentId), this.#onMessage);
    await this.#bus.subscribe(BROADCAST_CHANNEL, this.#onBroadcast);
  }

  /** Listens no more on its own channel; the bus goes on for others. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    await this.#bus.unsubscribe(agentChannel(this.agentId), this.#onMessage);
    await this.#bus.unsubscribe(BROADCAST_CHANNEL, this.#onBroadcast);
  }

  /** Publishes to the hub; resolves with the message's id. */
  sendToHub(payload: unknown): Promise<string> {
    const hub = ChannelNames.hub();
    return this.#bus.publish(hub, createBusMessage(MessageType.CUSTOM, this.agentId, payload, { to: hub }));
  }

  /** What is meant for this agent. A throw means again. */
  protected handleMessage(_message: BusMessage): void | Promise<void> {}

  /** What is meant for every agent. A throw means again. */
  protected handleBroadcast(_message: BusMessage): void | Promise<void> {}
}
