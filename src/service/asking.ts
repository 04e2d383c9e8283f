import { HeraldError } from "../core/errors.ts";
import { createId } from "../core/ids.ts";
import type { Message, Metadata, PublishOptions } from "../core/message.ts";
import { Requester, type RequesterOptions, type RequestOptions } from "../patterns/request-reply.ts";
import type { Breakers } from "./breakers.ts";
import type { SubscribeOptions } from "./options.ts";
import type { Runtime } from "./runtime.ts";
import type { Subscriptions } from "./subscriptions.ts";

const REPLIES: SubscribeOptions = {
  group: null,
  guarantee: "at-least-once",
  retry: { maxAttempts: 1 },
  prefetch: 1000,
  ack: "auto",
  circuitBreaker: false,
};

/** Asks every channel behind its circuit breaker, where the service has them. */
class GuardedRequester extends Requester {
  readonly #breakers: () => Breakers;

  constructor(breakers: () => Breakers, options: RequesterOptions) {
    super(options);
    this.#breakers = breakers;
  }

  override request(channel: string, payload: unknown, options: RequestOptions = {}): Promise<unknown> {
    return this.#breakers().ask(channel, () => super.request(channel, payload, options));
  }
}

/** What sends the requests of one run of a service; its reply channel is subscribed with the first of them. */
export function createRequester(running: () => Runtime, replies: Subscriptions): Requester {
  const { settings, metrics } = running();
  const replyChannel = `reply.${settings.agentId}.${createId()}`;
  return new GuardedRequester(() => running().breakers, {
    clock: settings.clock,
    replyChannel,
    publish: (channel, payload, options) => running().send(channel, payload, options),
    listen: async (onReply) => {
      await replies.add(running(), { pattern: replyChannel, handler: onReply, options: REPLIES });
    },
    onLate: () => metrics.lateReply(),
  });
}

/** Where the reply to a message goes, and what it says of itself. Throws `INVALID_ARGUMENT` when it wants none. */
export function replyTo(
  message: Message,
  headers?: Readonly<Record<string, string>>,
): { readonly channel: string; readonly options: PublishOptions } {
  // A program without types may hand in what is no message.
  const { id, metadata }: Partial<Message> = message ?? {};
  const { replyTo: channel, correlationId }: Partial<Metadata> = metadata ?? {};
  if (channel === undefined) {
    const text = `The message '${id}' wants no reply: answer only what has a replyTo in its metadata.`;
    throw new HeraldError("INVALID_ARGUMENT", text, { details: { field: "message.metadata.replyTo" } });
  }
  const options = {
    type: "reply",
    to: message.source,
    causationId: message.id,
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(headers === undefined ? {} : { headers }),
  };
  return { channel, options };
}
