import type { Message, PublishOptions } from "../core/message.ts";
import { createId } from "../core/ids.ts";
import { HeraldError, showValue } from "../core/errors.ts";
import { agentChannel, BROADCAST_CHANNEL } from "../core/names.ts";

/** What a bus message is about. */
export const MessageType = {
  ASSIGNMENT: "assignment",
  PROGRESS: "progress",
  COMPLETE: "complete",
  FAILED: "failed",
  HEARTBEAT: "heartbeat",
  MODE_CHANGE: "mode_change",
  SHUTDOWN: "shutdown",
  REGISTRATION: "registration",
  LEASE_ACQUIRED: "lease_acquired",
  LEASE_RELEASED: "lease_released",
  CUSTOM: "custom",
} as const;

/** One of the values of {@link MessageType}, or a word of the author's own. */
export type MessageType = (typeof MessageType)[keyof typeof MessageType] | (string & {});

/** How urgent a bus message is; higher is more urgent, unlike {@link Message} priorities. */
export const MessagePriority = { LOW: 0, NORMAL: 1, HIGH: 2, CRITICAL: 3 } as const;

/** One of the values of {@link MessagePriority}. */
export type MessagePriority = (typeof MessagePriority)[keyof typeof MessagePriority];

/** A message as the bus takes and gives it. */
export interface BusMessage<T = unknown> {
  /** 1 to 128 printable characters; also what a repeat is recognised by. */
  readonly id: string;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly type: MessageType;
  /** The hub or an agent's id. */
  readonly from: string;
  /** Undefined: for everybody. */
  readonly to?: string;
  readonly payload: T;
  readonly priority?: MessagePriority;
  /** Milliseconds after which it is not handled any more. */
  readonly ttl?: number;
  readonly correlationId?: string;
}

/** Handles one message; a throw means again, by the bus's retry policy. */
export type BusHandler = (message: BusMessage) => void | Promise<void>;

const PREFIX_AGENT = "agent-";
const NAMES = ["low", "normal", "high", "critical"] as const;
const LEVELS: Readonly<Record<MessagePriority, (typeof NAMES)[number]>> = {
  0: "low",
  1: "normal",
  2: "high",
  3: "critical",
};
const FROM = "x-bus-from";
const TIMESTAMP = "x-bus-timestamp";

/** Names of the channels that the bus's parties know. */
export const ChannelNames = {
  agent: agentChannel,
  broadcast: () => BROADCAST_CHANNEL,
  hub: () => "hub",
  coordination: (event: string) => `coordination:${event}`,
  system: (event: string) => `system:${event}`,
  isAgentChannel: (channel: string) =>
    channel.startsWith(PREFIX_AGENT) && channel.length > PREFIX_AGENT.length,
  /** Undefined for a channel that is no agent's. */
  extractAgentId: (channel: string) =>
    ChannelNames.isAgentChannel(channel) ? channel.slice(PREFIX_AGENT.length) : undefined,
} as const;

/** What may be said of a new message. */
export type BusMessageOptions = Partial<Pick<BusMessage, "to" | "priority" | "ttl" | "correlationId">>;

/** A message with an id and a time. */
export function createBusMessage<T>(
  type: MessageType,
  from: string,
  payload: T,
  options: BusMessageOptions = {},
): BusMessage<T> {
  const timestamp = Date.now();
  return { id: createId(timestamp), timestamp, type, from, payload, ...options };
}

/** Rejects with `INVALID_ARGUMENT`, naming the field, what is no bus message. */
export function checkBusMessage(message: unknown): asserts message is BusMessage {
  if (typeof message !== "object" || message === null) throw wrong("message", "an object", message);
  const { id, timestamp, type, from, to, priority, ttl } = message as Record<string, unknown>;
  if (typeof id !== "string" || id === "") throw wrong("id", "a string", id);
  if (typeof timestamp !== "number" || !Number.isFinite(timestamp))
    throw wrong("timestamp", "epoch milliseconds", timestamp);
  if (typeof type !== "string" || type === "") throw wrong("type", "a string", type);
  if (typeof from !== "string" || from === "") throw wrong("from", "a string", from);
  if (to !== undefined && typeof to !== "string") throw wrong("to", "a string", to);
  if (priority !== undefined && !Object.values(MessagePriority).includes(priority as MessagePriority))
    throw wrong("priority", "0 (low) to 3 (critical)", priority);
  if (ttl !== undefined && !(typeof ttl === "number" && ttl > 0)) throw wrong("ttl", "milliseconds", ttl);
}

/** How a bus message is published; `ttl` where it says nothing itself. */
export function publishOptionsOf(message: BusMessage, ttl: number): PublishOptions {
  const { id, type, to, priority, correlationId } = message;
  return {
    id,
    type,
    ttlSeconds: (message.ttl ?? ttl) / 1000,
    headers: { [FROM]: message.from, [TIMESTAMP]: String(message.timestamp) },
    ...(to === undefined ? {} : { to }),
    ...(priority === undefined ? {} : { priority: LEVELS[priority] }),
    ...(correlationId === undefined ? {} : { correlationId }),
  };
}

/** A message as the bus gives it. */
export function toBusMessage({ id, timestamp, source, payload, metadata }: Message): BusMessage {
  const { headers = {}, to, ttlSeconds, correlationId, priority } = metadata;
  const sentAt = Number(headers[TIMESTAMP] ?? Number.NaN);
  return {
    id,
    timestamp: Number.isFinite(sentAt) ? sentAt : Date.parse(timestamp),
    type: metadata.type ?? MessageType.CUSTOM,
    from: headers[FROM] ?? source,
    payload,
    priority: urgencyOf(priority),
    ...(to === undefined ? {} : { to }),
    ...(ttlSeconds === undefined ? {} : { ttl: ttlSeconds * 1000 }),
    ...(correlationId === undefined ? {} : { correlationId }),
  };
}

function urgencyOf(level: number): MessagePriority {
  if (level <= 20) return MessagePriority.CRITICAL;
  if (level <= 49) return MessagePriority.HIGH;
  return level <= 69 ? MessagePriority.NORMAL : MessagePriority.LOW;
}

function wrong(field: string, expected: string, value: unknown): HeraldError {
  const message = `A bus message needs '${field}' as ${expected}, not ${showValue(value)}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
}
