import type { Message } from "amqplib";
import { describe, expect, it } from "vitest";
import { createEnvelope } from "../../core/envelope.ts";
import { decode, propertiesOf } from "./codec.ts";

const whole = createEnvelope({
  id: "m",
  channel: "orders.created",
  source: "shop",
  time: 1_700_000_000_000,
  body: new Uint8Array([1, 2]),
  contentType: "text/plain",
  key: "k",
  deliverAt: 1_700_000_001_000,
  to: "billing",
  headers: { h: "1", CC: "a,b", "x-death": "mine", "x-mine": "2", "herald-attempts": "9" },
});

function message(properties: object, routingKey = "orders.created", body = whole.body): Message {
  return { fields: { routingKey }, properties, content: Buffer.from(body) } as unknown as Message;
}

describe("a message of RabbitMQ", () => {
  it("brings back what it was made of, with headers that AMQP has a meaning for", () => {
    const { envelope, attempts, isReturned } = decode(message(propertiesOf(whole)), 5);
    expect({ ...envelope, body: [...envelope.body], headers: { ...envelope.headers } }).toEqual({
      ...whole,
      body: [1, 2],
      headers: whole.headers,
    });
    expect([attempts, isReturned]).toEqual([0, false]);
  });

  it("routes by no header of the author's", () => {
    const { headers } = propertiesOf(whole) as { headers: object };
    expect(Object.keys(headers)).not.toContain("CC");
    expect(Object.keys(headers)).not.toContain("x-death");
  });

  it("keeps its channel, its attempts and its failures on its way back under another key", () => {
    const failures = [{ attempt: 2, code: "HANDLER_FAILED", message: "no", at: 7 }];
    const properties = propertiesOf(whole, { attempts: 2, failures, notBefore: 99 });
    const decoded = decode(message(properties, "shop/billing/orders.created"), 5);
    expect(decoded).toMatchObject({ attempts: 2, failures, notBefore: 99, isReturned: true });
    expect(decoded.envelope.channel).toBe("orders.created");
  });

  it("is accepted without attributes, and with some that cannot be read", () => {
    const bare = decode(message({ messageId: "theirs", headers: { n: 7 } }), 5).envelope;
    expect(bare).toMatchObject({ id: "theirs", source: "external", time: 5, headers: { n: "7" } });
    const odd = decode(
      message({ headers: { cloudEvents_priority: "very", cloudEvents_id: "x" } }),
      5,
    ).envelope;
    expect(odd).toMatchObject({ id: "x", priority: 50, headers: { "x-malformed-priority": "very" } });
    expect(decode(message({}), 5).envelope.id).not.toBe(decode(message({}), 5).envelope.id);
  });
});
