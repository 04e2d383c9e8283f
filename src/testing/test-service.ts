/// <reference lib="esnext.disposable" preserve="true" />
import type { Message, PublishOptions } from "../core/message.ts";
import type { Handler } from "../core/middleware.ts";
import type { PortSubscribeOptions, PortSubscription, ServicePort } from "./service-port.ts";
import { RealTime, type TestTime } from "./time.ts";

/** One message that was published through a {@link TestService}. */
export interface PublishedRecord {
  readonly id: string;
  readonly channel: string;
  readonly payload: unknown;
  readonly options: PublishOptions;
}

/** One run of a handler that was subscribed through a {@link TestService}. */
export interface HandledRecord {
  readonly message: Message;
  readonly attempt: number;
  /** What the handler returned. */
  readonly result?: unknown;
  /** What the handler threw. */
  readonly error?: unknown;
}

const WITHIN_MS = 5000;

/**
 * A service for tests: remembers what passes through it, and waits for it. It adds to a service and replaces nothing, so
 * what a test sees is what the service does.
 */
export class TestService<S extends ServicePort = ServicePort> implements AsyncDisposable {
  /** The service under test. */
  readonly service: S;
  readonly #time: TestTime;
  readonly #published: PublishedRecord[] = [];
  readonly #handled: HandledRecord[] = [];
  readonly #collected = new Map<string, Message[]>();

  /** `time` is only needed where the service runs on a fake clock: hand in a `SteppedTime` of the same clock. */
  constructor(service: S, time: TestTime = new RealTime()) {
    this.service = service;
    this.#time = time;
  }

  /** Starts the service. */
  async start(): Promise<this> {
    await this.service.start();
    return this;
  }

  /** Stops the service. */
  async stop(): Promise<void> {
    await this.#time.drive(Promise.resolve(this.service.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** What was published through this object and accepted, oldest first; of one channel when it is named. */
  published(channel?: string): readonly PublishedRecord[] {
    return this.#published.filter((record) => channel === undefined || record.channel === channel);
  }

  /** Runs of handlers that have ended, oldest first; of one channel when it is named. */
  handled(channel?: string): readonly HandledRecord[] {
    return this.#handled.filter(({ message }) => channel === undefined || message.channel === channel);
  }

  /** Publishes and remembers. */
  async publish(channel: string, payload: unknown, options: PublishOptions = {}): Promise<string> {
    const id = await this.service.publish(channel, payload, options);
    this.#published.push({ id, channel, payload, options });
    return id;
  }

  /** Subscribes a handler whose runs are remembered. */
  subscribe(channel: string, handler: Handler, options?: PortSubscribeOptions): Promise<PortSubscription> {
    const remembered: Handler = async (message, context) => {
      const { attempt } = context;
      try {
        const result: unknown = await handler(message, context);
        this.#handled.push({ message, attempt, result });
        return result;
      } catch (error) {
        this.#handled.push({ message, attempt, error });
        throw error;
      }
    };
    return this.service.subscribe(channel, remembered, options);
  }

  /** Collects every message of a channel or pattern from now on, beside whoever else handles it. See {@link waitFor}. */
  async collect(channel: string, options: PortSubscribeOptions = {}): Promise<void> {
    const messages: Message[] = this.#collected.get(channel) ?? [];
    this.#collected.set(channel, messages);
    await this.service.subscribe(channel, (message) => void messages.push(message), {
      group: null,
      ...options,
    });
  }

  /** What {@link collect} has found on a channel or pattern. */
  collected(channel: string): readonly Message[] {
    return this.#collected.get(channel) ?? [];
  }

  /**
   * Resolves with the first `count` messages that {@link collect} finds on a channel or pattern. Rejects with an error that
   * says how many came, after `withinMs`, 5000 unless said otherwise.
   */
  async waitFor(channel: string, count = 1, withinMs: number = WITHIN_MS): Promise<readonly Message[]> {
    const found = () => this.collected(channel).length;
    await this.#time.until(
      () => found() >= count,
      () => `${count} messages on '${channel}'; ${found()} came`,
      withinMs,
    );
    return this.collected(channel).slice(0, count);
  }

  /** Resolves with the first `count` ended runs of handlers on a channel. Rejects as {@link waitFor} does. */
  async waitForHandled(
    channel: string,
    count = 1,
    withinMs: number = WITHIN_MS,
  ): Promise<readonly HandledRecord[]> {
    const ended = () => this.handled(channel).length;
    await this.#time.until(
      () => ended() >= count,
      () => `${count} handled messages on '${channel}'; ${ended()} were`,
      withinMs,
    );
    return this.handled(channel).slice(0, count);
  }
}
