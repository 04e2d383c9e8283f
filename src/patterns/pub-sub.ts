/// <reference lib="esnext.disposable" preserve="true" />
import type { BrokerAdmin, ChannelOptions } from "../core/broker.ts";
import type { PublishOptions } from "../core/message.ts";
import type { Handler } from "../core/middleware.ts";
import { isDeadLetterChannel } from "../core/names.ts";
import { adminOf, ready, release, type Link, type Listening, type ListenOptions } from "./messaging.ts";

/** How topics are subscribed unless a subscription says otherwise. */
export interface PubSubOptions {
  /** Default: the service's agent, whose replicas share a topic's messages. Null: every subscriber gets everything. */
  readonly group?: string | null;
}

const REPLIES = "reply.";

/** Topics: what is published on one goes to every subscriber. A topic is a channel, and needs not be created. */
export class PubSub implements AsyncDisposable {
  readonly #link: Link;
  readonly #options: PubSubOptions;

  constructor(link: Link, options: PubSubOptions = {}) {
    this.#link = link;
    this.#options = options;
  }

  /** Resolves with the message's id once the broker has it. Rejects as `MessagingService.publish` does. */
  async publish(topic: string, message: unknown, options?: PublishOptions): Promise<string> {
    await ready(this.#link);
    return this.#link.messaging.publish(topic, message, options);
  }

  /** Handles what is published on a topic or pattern from now on. Rejects as `MessagingService.subscribe` does. */
  async subscribe<T = unknown>(
    topic: string,
    handler: Handler<T>,
    options: ListenOptions = {},
  ): Promise<Listening> {
    await ready(this.#link);
    return this.#link.messaging.subscribe(topic, handler as Handler, { ...this.#options, ...options });
  }

  /** Makes a topic before its first message, or changes how it is kept. Rejects with `UNSUPPORTED`, `INVALID_CHANNEL`. */
  async createTopic(name: string, options?: ChannelOptions): Promise<void> {
    await (await this.#admin()).declare(name, options);
  }

  /** Forgets a topic with all it holds. One that does not exist: no error. Rejects with `UNSUPPORTED`. */
  async deleteTopic(name: string): Promise<void> {
    await (await this.#admin()).remove(name);
  }

  /** Names of the topics that exist, sorted; without those of replies and dead letters. Rejects with `UNSUPPORTED`. */
  async listTopics(): Promise<string[]> {
    const names = await (await this.#admin()).list();
    return names.filter((name) => !name.startsWith(REPLIES) && !isDeadLetterChannel(name)).toSorted();
  }

  /** Stops the service where it is this object's own. */
  close(): Promise<void> {
    return release(this.#link);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #admin(): Promise<BrokerAdmin> {
    await ready(this.#link);
    return adminOf(this.#link.messaging.broker, "publish without creating topics");
  }
}
