import { isHeraldError, toHeraldError } from "../../core/errors.ts";
import type { Message, PublishOptions } from "../../core/message.ts";
import type { Handler, HandlerContext } from "../../core/middleware.ts";
import type { Clock } from "../../core/clock.ts";
import type { DeadLetterCause, HistoryEntry } from "../checker/history.ts";
import type {
  PortBatchMessage,
  PortBatchResult,
  PortDeadLetter,
  PortDeadLetterFilter,
  PortSubscribeOptions,
  PortSubscription,
  ServicePort,
} from "../service-port.ts";
import { hashMessage } from "./hash.ts";
import { failedPublish, type CaseRecords } from "./recorded-broker.ts";

/** What a service's recorder knows. */
export interface ServiceRecorder {
  readonly records: CaseRecords;
  readonly clock: Clock;
  readonly agentId: string;
  /** The next id of this case: `writer-counter`. */
  readonly nextId: () => string;
}

const CAUSES: Readonly<Record<string, DeadLetterCause>> = {
  EXPIRED: "expired",
  HANDLER_FAILED: "attempts",
  HANDLER_TIMEOUT: "attempts",
  REJECTED: "rejected",
};

/** A service that writes what it publishes, starts and finishes into the history. What it does not wrap is on `port`. */
export class RecordedService {
  /** The service itself: requests, commands and counters pass unrecorded. */
  readonly port: ServicePort;
  readonly #recorder: ServiceRecorder;

  constructor(port: ServicePort, recorder: ServiceRecorder) {
    this.port = port;
    this.#recorder = recorder;
  }

  /** Publishes under an id of the case, unless the options name one. */
  async publish(channel: string, payload: unknown, options: PublishOptions = {}): Promise<string> {
    const {
      records: { history },
      nextId,
    } = this.#recorder;
    const id = options.id ?? nextId();
    history.add(this.#invocation(id, { channel, payload, options }));
    try {
      const published = await this.port.publish(channel, payload, { ...options, id });
      history.add({ type: "pub.ok", id });
      return published;
    } catch (error) {
      history.add(failedPublish(id, toHeraldError(error)));
      throw error;
    }
  }

  /** Publishes a batch; results are recorded one by one. */
  async publishBatch(messages: readonly PortBatchMessage[]): Promise<readonly PortBatchResult[]> {
    const { records, nextId } = this.#recorder;
    const { history } = records;
    const batch = ++records.batches;
    const named = messages.map((message) => ({
      ...message,
      options: { ...message.options, id: message.options?.id ?? nextId() },
    }));
    for (const message of named) history.add({ ...this.#invocation(message.options.id, message), batch });
    const results = await this.port.publishBatch(named);
    for (const [at, { options }] of named.entries()) {
      const result = results[at];
      if (result?.ok === true) history.add({ type: "pub.ok", id: options.id });
      else if (result !== undefined) history.add(failedPublish(options.id, toHeraldError(result.error)));
    }
    return results;
  }

  /** Subscribes with a handler whose starts, ends and failures are recorded; requests among the messages are not. */
  async subscribe(
    channel: string,
    handler: Handler,
    options: PortSubscribeOptions = {},
  ): Promise<PortSubscription> {
    const { records, agentId } = this.#recorder;
    const { history } = records;
    const consumer = `consumer-${++records.consumers}`;
    const group = options.group === undefined ? agentId : (options.group ?? `broadcast:${consumer}`);
    const manual = options.ack === "manual";
    const subscription = await this.port.subscribe(
      channel,
      this.#recorded(handler, { group, consumer, manual }),
      options,
    );
    if (!channel.startsWith("dlq.")) {
      history.add({
        type: "subscribe",
        group,
        pattern: channel,
        from: options.from === "earliest" ? "earliest" : "new",
      });
    }
    return subscription;
  }

  /** Every dead letter of the broker that belongs to the channels. */
  async deadLetters(channels: readonly string[]): Promise<readonly PortDeadLetter[]> {
    const letters = await Promise.all(
      channels.map((channel) => this.port.deadLetters.list({ channel }, { limit: 1_000_000 })),
    );
    return letters.flat();
  }

  /** Writes dead letters into the history. */
  recordDeadLetters(letters: readonly PortDeadLetter[]): void {
    for (const letter of letters) {
      const cause = CAUSES[letter.code] ?? "undecodable";
      this.#recorder.records.history.add({
        type: "dlq",
        id: letter.id,
        group: letter.group ?? "broadcast",
        cause,
      });
    }
  }

  /** Sends dead letters back, and records each as dead before and sent back after. */
  async redrive(which: string | PortDeadLetterFilter): Promise<number> {
    const letters = await this.port.deadLetters.list(typeof which === "string" ? { id: which } : which, {
      limit: 1_000_000,
    });
    this.recordDeadLetters(letters);
    for (const { id, group } of letters)
      this.#recorder.records.history.add({ type: "replay", id, group: group ?? "broadcast" });
    return this.port.deadLetters.redrive(which);
  }

  #recorded(
    handler: Handler,
    run: { readonly group: string; readonly consumer: string; readonly manual: boolean },
  ): Handler {
    const { history, hashedAsMessage } = this.#recorder.records;
    return async (message, context) => {
      const { id, channel, metadata } = message;
      if (metadata.replyTo !== undefined || channel.startsWith("dlq.")) return handler(message, context);
      const { group, consumer } = run;
      const hash = hashedAsMessage.has(id) ? { hash: hashOf(message) } : {};
      history.add({ type: "start", id, group, attempt: context.attempt, consumer, channel, ...hash });
      try {
        const result: unknown = await handler(
          message,
          run.manual ? watched(context, (event) => history.add({ type: event, id, group })) : context,
        );
        if (!run.manual) history.add({ type: "commit.ok", id, group });
        return result;
      } catch (error) {
        if (!isHeraldError(error) || error.name !== "SnoozeError") history.add({ type: "fail", id, group });
        throw error;
      }
    };
  }

  #invocation(id: string, message: PortBatchMessage): HistoryEntry & { readonly type: "pub.invoke" } {
    const { channel, payload, options = {} } = message;
    const now = this.#recorder.clock.now();
    this.#recorder.records.published.add(id);
    this.#recorder.records.hashedAsMessage.add(id);
    return {
      type: "pub.invoke",
      id,
      channel,
      key: options.partitionKey,
      ...(typeof options.priority === "number" ? { priority: options.priority } : {}),
      hash: hashMessage(payload, options.headers),
      notBefore: options.delayMs === undefined ? undefined : now + options.delayMs,
      expiresAt: options.ttlSeconds === undefined ? undefined : now + options.ttlSeconds * 1000,
    };
  }
}

/** Headers that sending back adds are not the author's. */
function hashOf(message: Message): number {
  const headers = Object.entries(message.metadata.headers ?? {}).filter(
    ([name]) => !name.startsWith("x-redrive-"),
  );
  return hashMessage(message.payload, Object.fromEntries(headers));
}

/** The context of a manual handler, telling when it acks and nacks. */
function watched(context: HandlerContext, tell: (event: "commit.ok" | "fail") => void): HandlerContext {
  return new Proxy(context, {
    get(target, name) {
      if (name === "ack") return () => (tell("commit.ok"), target.ack());
      if (name === "nack") return (options: object) => (tell("fail"), target.nack(options));
      return Reflect.get(target, name, target) as unknown;
    },
  });
}
