import type { ConsumeMessage, Options } from "amqplib";
import { createId } from "../../core/ids.ts";
import type { ExchangeMessage, ExchangeMessageInit } from "./exchange.ts";

/** AMQP counts seconds; RabbitMQ's own plugin for timestamps keeps the milliseconds under this name. */
const MILLISECONDS = "timestamp_in_ms";

/** The properties of a message; it is written to disk where its queue is. */
export function exchangeProperties({ id, metadata = {}, timestamp }: ExchangeMessageInit): Options.Publish {
  const { correlationId, replyTo, priority, expiration, headers } = metadata;
  const at = timestamp ?? Date.now();
  return {
    messageId: id ?? createId(),
    timestamp: Math.floor(at / 1000),
    contentType: "application/json",
    persistent: true,
    headers: { ...headers, [MILLISECONDS]: at },
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(replyTo === undefined ? {} : { replyTo }),
    ...(priority === undefined ? {} : { priority }),
    ...(expiration === undefined ? {} : { expiration }),
  };
}

/** A message as it was read, also one of another program. Throws a SyntaxError for a body that is no JSON. */
export function exchangeMessage({ content, fields, properties }: ConsumeMessage): ExchangeMessage {
  const given: { readonly [name: string]: unknown } = { ...properties };
  const text = (name: string): string | undefined =>
    typeof given[name] === "string" && given[name] !== "" ? given[name] : undefined;
  const { priority } = given;
  const [correlationId, replyTo, expiration] = ["correlationId", "replyTo", "expiration"].map(text);
  const { [MILLISECONDS]: milliseconds, ...headers } = (properties.headers ?? {}) as Record<string, unknown>;
  return {
    id: text("messageId") ?? createId(),
    topic: fields.routingKey,
    payload: JSON.parse(content.toString("utf8")) as unknown,
    metadata: {
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(replyTo === undefined ? {} : { replyTo }),
      ...(typeof priority === "number" ? { priority } : {}),
      ...(expiration === undefined ? {} : { expiration: Number(expiration) }),
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, shown(value)])),
    },
    timestamp: timeOf(milliseconds, given["timestamp"]),
  };
}

function timeOf(milliseconds: unknown, seconds: unknown): number {
  if (typeof milliseconds === "number") return milliseconds;
  return typeof seconds === "number" ? seconds * 1000 : Date.now();
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
