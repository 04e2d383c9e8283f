import { createId } from "../../core/ids.ts";
import type { Message } from "../../core/message.ts";
import type { Listening, Messaging } from "../messaging.ts";
import { once } from "../../core/once.ts";

const KEY = "cancels";
const MARK = "mark";
const MARK_TTL_SECONDS = 60;

/**
 * Which tasks are cancelled. Every process with workers reads the queue's control channel from its beginning, so that one
 * which starts later knows of a cancel too.
 */
export class Cancellations {
  readonly #messaging: Messaging;
  readonly #channel: string;
  readonly #keptMs: number;
  /** Id of a task and when its cancel was published, oldest first. */
  readonly #cancelled = new Map<string, number>();
  readonly #marks = new Map<string, () => void>();
  #onCancel: (id: string) => void = () => {};
  readonly #declare: () => Promise<unknown>;
  #listening: Listening | undefined;

  constructor(messaging: Messaging, channel: string, keptMs: number) {
    this.#messaging = messaging;
    this.#channel = channel;
    this.#keptMs = keptMs;
    this.#declare = once(async () => messaging.broker.admin?.declare(channel, { retentionMs: keptMs }));
  }

  has(id: string): boolean {
    return this.#cancelled.has(id);
  }

  /** Resolves once every cancel published so far is known here; nothing to do where the broker cannot carry them. */
  async follow(onCancel: (id: string) => void): Promise<void> {
    const { broker } = this.#messaging;
    if (!broker.can("broadcast", this.#channel) || !broker.can("replayByPosition", this.#channel)) return;
    this.#onCancel = onCancel;
    await this.#declare();
    this.#listening = await this.#messaging.subscribe(this.#channel, (message) => this.#heard(message), {
      group: null,
      from: "earliest",
      maxConcurrency: 1,
      guarantee: "at-least-once",
      ack: "auto",
    });
    await this.#caughtUp();
  }

  /** Resolves once the broker has it. Rejects with `UNSUPPORTED` where workers could not learn of it. */
  async cancel(id: string): Promise<void> {
    const because = "cancelling tasks";
    this.#messaging.broker.require("broadcast", this.#channel, because);
    this.#messaging.broker.require("replayByPosition", this.#channel, because);
    await this.#declare();
    await this.#messaging.publish(this.#channel, { id }, { type: "cancel", partitionKey: KEY });
  }

  async close(): Promise<void> {
    await this.#listening?.unsubscribe();
    this.#listening = undefined;
  }

  /** What was published before a message of one's own has come when that one comes. */
  async #caughtUp(): Promise<void> {
    const id = createId(this.#messaging.clock.now());
    const come = new Promise<void>((resolve) => this.#marks.set(id, resolve));
    await this.#messaging.publish(
      this.#channel,
      {},
      { id, type: MARK, partitionKey: KEY, ttlSeconds: MARK_TTL_SECONDS },
    );
    await come;
    this.#marks.delete(id);
  }

  #heard(message: Message): void {
    if (message.metadata.type === MARK) {
      this.#marks.get(message.id)?.();
      return;
    }
    const { id } = (message.payload ?? {}) as { readonly id?: unknown };
    if (typeof id !== "string") return;
    this.#cancelled.set(id, Date.parse(message.timestamp));
    this.#forgetOld();
    this.#onCancel(id);
  }

  #forgetOld(): void {
    const before = this.#messaging.clock.now() - this.#keptMs;
    for (const [id, at] of this.#cancelled) {
      if (at >= before) return;
      this.#cancelled.delete(id);
    }
  }
}
