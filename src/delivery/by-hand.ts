import type { Codecs } from "../codec/codecs.ts";
import type { Delivery } from "../core/delivery.ts";
import { createEnvelope, type Envelope } from "../core/envelope.ts";
import type { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { currentDelivery } from "./context.ts";
import { originalHeaders, toDeadLetter } from "./dead-letter.ts";

/** A message that a program gives up on by itself. */
export interface GivenUpByHand {
  readonly message: Message;
  readonly error: HeraldError;
  readonly agentId: string;
  /** The channel the dead letter goes to. */
  readonly channel: string;
  readonly now: number;
  readonly codecs: Codecs;
}

/**
 * The dead letter of a message that a program holds. Within the handler of that message it has its bytes, its group and its
 * failures; elsewhere its payload is encoded again, and it belongs to the group of the agent.
 */
export async function deadLetterOf(given: GivenUpByHand): Promise<Envelope> {
  const { message, error, agentId, channel, now } = given;
  const run = currentDelivery.getStore();
  const isHandled = run?.envelope.id === message.id && run.envelope.channel === message.channel;
  const delivery = isHandled ? run.delivery : await deliveryOf(given);
  const group = isHandled ? run.group : agentId;
  return toDeadLetter({ delivery, error, agentId, group, channel, now });
}

async function deliveryOf({ message, codecs }: GivenUpByHand): Promise<Delivery> {
  const { id, channel, source, timestamp, payload, metadata } = message;
  const { contentType, contentEncoding, body, headers } = await codecs.encode(payload, channel);
  const time = Date.parse(timestamp);
  const { ttlSeconds } = metadata;
  const envelope = createEnvelope({
    ...metadata,
    id,
    channel,
    source,
    time,
    body,
    contentType,
    contentEncoding,
    headers: { ...metadata.headers, ...headers },
    key: metadata.partitionKey,
    expiresAt: ttlSeconds === undefined ? undefined : time + ttlSeconds * 1000,
  });
  const original = createEnvelope({ ...envelope, headers: originalHeaders(envelope) });
  const attempt = metadata.retryCount + 1;
  return { envelope: original, attempt, position: "", leaseMs: null, failures: [], receipt: undefined };
}
