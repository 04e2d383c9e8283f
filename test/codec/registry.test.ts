import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { createEnvelope, type EnvelopeInit } from "../../src/core/envelope.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import type { Message } from "../../src/core/message.ts";
import type { MessagingServiceOptions } from "../../src/service/options.ts";
import { SchemaRegistry } from "../../src/service/schema-registry.ts";
import { MessagingService } from "../../src/service/service.ts";
import { registryFront, type RegistryFront } from "../support/registry-front.ts";
import { startApicurio, type TestRegistry } from "../support/servers/apicurio.ts";
import { whenStarted } from "../support/servers/when.ts";
import {
  JSON_ORDER,
  JSON_ORDER_BYTES,
  JSON_SCHEMA,
  ORDER,
  ORDER_AVRO,
  ORDER_SCHEMA,
  PREFIX_OF_1,
} from "./vectors.ts";

let count = 0;
/** A channel that no other test has. */
const channelOf = (): string => `orders.n${++count}`;
const withId = (id: number, hex: string): Buffer =>
  Buffer.from(id.toString(16).padStart(10, "0") + hex, "hex");
const code = (expected: string) => expect.objectContaining({ code: expected });

whenStarted("apicurio", "a schema registry", () => {
  let server: TestRegistry;
  let front: RegistryFront;
  let registry: SchemaRegistry;

  beforeAll(async () => {
    server = await startApicurio();
    front = await registryFront(server.url);
    registry = new SchemaRegistry({ url: front.url, retryDelayMs: 1 });
    // Apicurio has no rule of its own; Confluent's is this one.
    await fetch(`${server.url}/config`, {
      method: "PUT",
      headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
      body: JSON.stringify({ compatibility: "BACKWARD" }),
    });
  }, 180_000);

  afterAll(async () => {
    await front?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  /** Agents on one broker, and what was smuggled past them. */
  function hub() {
    const broker = new MemoryBroker();
    const agent = async (
      agentId: string,
      codecs: MessagingServiceOptions["codecs"] = {},
    ): Promise<MessagingService> => {
      const retry = { maxAttempts: 5, backoff: { initialDelayMs: 10 } };
      const service = new MessagingService({ agentId, broker, codecs, retry });
      onTestFinished(() => service.stop().then(() => undefined));
      await service.start();
      return service;
    };
    const smuggle = async (channel: string, body: Uint8Array, init: Partial<EnvelopeInit> = {}) => {
      const all = { id: `m${++count}`, channel, source: "other", time: Date.now(), body, ...init };
      await broker.publish([createEnvelope(all)]);
      return all.id;
    };
    return { broker, agent, smuggle };
  }

  /** What an agent gets on a channel. */
  async function listen(service: MessagingService, channel: string) {
    const got: Message[] = [];
    const bodies: string[] = [];
    await service.subscribe(channel, (message, { body }) => {
      got.push(message);
      bodies.push(Buffer.from(body).toString("hex"));
    });
    return { got, bodies };
  }

  it("registers a schema, gives it by its id, as the latest, and lists its subject", async () => {
    const subject = `${channelOf()}-value`;
    const { id } = await registry.register(subject, ORDER_SCHEMA);

    expect(await registry.byId(id)).toMatchObject({ schemaType: "AVRO", references: [] });
    expect(JSON.parse((await registry.byId(id)).schema)).toEqual(ORDER_SCHEMA);
    expect(await registry.latest(subject)).toMatchObject({ id, subject, version: 1 });
    expect(await registry.subjects()).toContain(subject);
    // Registered again, it is the same.
    expect(await registry.register(subject, JSON.stringify(ORDER_SCHEMA))).toMatchObject({ id });
  });

  it("says whether a schema may follow, and refuses to register one that may not", async () => {
    const subject = `${channelOf()}-value`;
    const without = { ...ORDER_SCHEMA, fields: ORDER_SCHEMA.fields.slice(1) };
    const withMore = { ...ORDER_SCHEMA, fields: [...ORDER_SCHEMA.fields, { name: "must", type: "int" }] };

    expect(await registry.compatibility(subject, ORDER_SCHEMA)).toEqual({ compatible: true, reasons: [] });
    await registry.register(subject, ORDER_SCHEMA);
    expect(await registry.compatibility(subject, without)).toMatchObject({ compatible: true });
    expect(await registry.compatibility(subject, withMore)).toMatchObject({ compatible: false });
    await expect(registry.register(subject, withMore)).rejects.toMatchObject({
      code: "CONFLICT",
      retryable: false,
    });
    await registry.register(subject, without);
    expect(JSON.parse((await registry.latest(subject)).schema)).toEqual(without);
  });

  it("rejects what is not there and what is no schema by name", async () => {
    await expect(registry.byId(999_999)).rejects.toEqual(code("NOT_FOUND"));
    await expect(registry.latest("nobody-value")).rejects.toEqual(code("NOT_FOUND"));
    await expect(registry.register(`${channelOf()}-value`, { type: "nonsense" })).rejects.toEqual(
      code("INVALID_ARGUMENT"),
    );
  });

  it("gives Avro the bytes that its own clients write, and reads theirs, which carry no content type", async () => {
    const { agent, smuggle } = hub();
    const channel = channelOf();
    const codecs = { [channel]: registry.avro({ schema: ORDER_SCHEMA, register: true }) };
    const [writer, reader] = [await agent("w", codecs), await agent("r", { "orders.*": registry.avro() })];
    const { got, bodies } = await listen(reader, channel);

    await writer.publish(channel, ORDER);
    await expect.poll(() => got).toHaveLength(1);
    const { id } = await registry.latest(`${channel}-value`);
    expect(bodies[0]).toBe(withId(id, ORDER_AVRO).toString("hex"));
    expect(bodies[0]?.length).toBe((PREFIX_OF_1 + ORDER_AVRO).length);
    await smuggle(channel, withId(id, ORDER_AVRO));
    await expect.poll(() => got).toHaveLength(2);

    expect(got.map(({ payload }) => payload)).toEqual([ORDER, ORDER]);
    expect(got[0]?.metadata.contentType).toBe("application/vnd.apache.avro;framing=confluent");
  });

  it("gives JSON Schema the bytes that its own clients write, and holds both sides to the schema", async () => {
    const { agent, smuggle } = hub();
    const channel = channelOf();
    const service = await agent("a", { [channel]: registry.json({ schema: JSON_SCHEMA, register: true }) });
    const { got, bodies } = await listen(service, channel);

    await service.publish(channel, JSON_ORDER);
    await expect.poll(() => got).toHaveLength(1);
    const { id } = await registry.latest(`${channel}-value`);
    expect(bodies[0]).toBe(withId(id, JSON_ORDER_BYTES).toString("hex"));
    expect(got[0]?.payload).toEqual(JSON_ORDER);
    await expect(service.publish(channel, { id: "x" })).rejects.toEqual(code("SCHEMA_VIOLATION"));
    await expect(service.publish(channel, Uint8Array.of(1))).rejects.toEqual(code("UNSERIALIZABLE"));
    const bad = await smuggle(channel, Buffer.concat([withId(id, ""), Buffer.from('{"id":"x"}')]));
    await expect
      .poll(() => service.deadLetters.get(bad))
      .toMatchObject({ code: "SCHEMA_VIOLATION", attempts: 1 });
  });

  it("lets JSON go unchecked where that is asked for", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const codec = registry.json({ schema: JSON_SCHEMA, register: true, validate: false });
    const service = await agent("a", { [channel]: codec });
    const { got } = await listen(service, channel);

    await service.publish(channel, { id: "no number" });
    await expect.poll(() => got.map(({ payload }) => payload)).toEqual([{ id: "no number" }]);
  });

  it("names the schema in a header where that is asked for by id, and JSON is then read by everybody", async () => {
    const { agent, smuggle } = hub();
    const channel = channelOf();
    const { id } = await registry.register(`${channel}-value`, JSON_SCHEMA, "JSON");
    const [knows, knowsNot] = [await agent("a", { [channel]: registry.json() }), await agent("b")];
    const [first, second] = [await listen(knows, channel), await listen(knowsNot, channel)];
    const headers = { __value_schema_id: String.fromCharCode(0, 0, 0, 0, id) };

    await smuggle(channel, Buffer.from(JSON_ORDER_BYTES, "hex"), { headers });
    await expect
      .poll(() => [...first.got, ...second.got].map(({ payload }) => payload))
      .toEqual([JSON_ORDER, JSON_ORDER]);
    // A registry without GUIDs cannot name a schema in the header as its clients do.
    const writer = await agent("c", { [channel]: registry.json({ schemaId: "header" }) });
    await expect(writer.publish(channel, JSON_ORDER)).rejects.toEqual(code("UNSUPPORTED"));
  });

  it("writes with the latest version of the subject where no schema is given", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const service = await agent("a", { [channel]: registry.avro() });
    const { got } = await listen(service, channel);

    await expect(service.publish(channel, ORDER)).rejects.toEqual(code("NOT_FOUND"));
    await registry.register(`${channel}-value`, ORDER_SCHEMA);
    await expect.poll(() => service.publish(channel, ORDER).catch(() => undefined)).toBeDefined();
    await expect.poll(() => got.map(({ payload }) => payload)).toEqual([ORDER]);
    await expect(service.publish(channel, { ...ORDER, more: 1 })).rejects.toEqual(code("SCHEMA_VIOLATION"));
  });

  it("refuses to write with a schema that is not registered, unless it may register it", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const service = await agent("a", { [channel]: registry.avro({ schema: ORDER_SCHEMA }) });

    await expect(service.publish(channel, ORDER)).rejects.toEqual(code("NOT_FOUND"));
  });

  it.each<["record" | "topic-record", (channel: string) => string]>([
    ["record", () => "shop.Order"],
    ["topic-record", (channel) => `${channel}-shop.Order`],
  ])("names subjects by %s", async (subject, expected) => {
    const { agent } = hub();
    const channel = channelOf();
    const service = await agent("a", {
      [channel]: registry.avro({ schema: ORDER_SCHEMA, register: true, subject }),
    });

    await service.publish(channel, ORDER);
    expect(await registry.subjects()).toContain(expected(channel));
  });

  it("reads what was written with an older schema as the newer one has it", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const field = { name: "currency", type: "string", default: "EUR" };
    const newer = { ...ORDER_SCHEMA, fields: [...ORDER_SCHEMA.fields.slice(0, 3), field] };
    const writer = await agent("w", { [channel]: registry.avro({ schema: ORDER_SCHEMA, register: true }) });
    const reader = await agent("r", { [channel]: registry.avro({ readAs: newer }) });
    const { got } = await listen(reader, channel);

    await writer.publish(channel, ORDER);
    const { id, note, price } = ORDER;
    await expect
      .poll(() => got.map(({ payload }) => payload))
      .toEqual([{ id, note, price, currency: "EUR" }]);
  });

  it("finds the schemas that a schema names", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const money = {
      type: "record",
      name: "Money",
      namespace: "shop",
      fields: [{ name: "cents", type: "long" }],
    };
    await registry.register("shop.Money", money);
    const invoice = {
      type: "record",
      name: "Invoice",
      namespace: "shop",
      fields: [
        { name: "total", type: "shop.Money" },
        { name: "tax", type: "shop.Money" },
      ],
    };
    const references = [{ name: "shop.Money", subject: "shop.Money", version: 1 }];
    const writer = await agent("w", {
      [channel]: registry.avro({ schema: invoice, references, register: true }),
    });
    const reader = await agent("r", { [channel]: registry.avro() });
    const { got } = await listen(reader, channel);

    const payload = { total: { cents: 100 }, tax: { cents: 19 } };
    await writer.publish(channel, payload);
    await expect.poll(() => got.map((message) => message.payload)).toEqual([payload]);
  });

  it("still reads the plain JSON, and the bytes, that a channel carried before", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const service = await agent("a", { [channel]: registry.avro() });
    const { got } = await listen(service, channel);
    const before = await agent("b");

    await before.publish(channel, { id: 1 });
    await before.publish(channel, Uint8Array.of(0, 0, 0, 0, 1, 2));
    await expect
      .poll(() => got.map(({ payload }) => payload))
      .toEqual([{ id: 1 }, Uint8Array.of(0, 0, 0, 0, 1, 2)]);
  });

  it("is no matter of those who do not name it: they get a dead letter that says so", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const writer = await agent("w", { [channel]: registry.avro({ schema: ORDER_SCHEMA, register: true }) });
    const reader = await agent("r");
    const { got } = await listen(reader, channel);

    const id = await writer.publish(channel, ORDER);
    await expect.poll(() => reader.deadLetters.get(id)).toMatchObject({ code: "UNSUPPORTED", attempts: 1 });
    expect(got).toEqual([]);
  });

  it.each<[string, (id: number) => Buffer, string]>([
    ["a schema that nobody knows", () => withId(999_998, ORDER_AVRO), "NOT_FOUND"],
    ["Avro that is cut short", (id) => withId(id, ORDER_AVRO.slice(0, -10)), "MALFORMED"],
    ["Avro with something behind it", (id) => withId(id, `${ORDER_AVRO}00`), "MALFORMED"],
    ["nothing behind the name", (id) => withId(id, ""), "MALFORMED"],
    ["a list of two thousand million", (id) => withId(id, "020000000000000000008080808020"), "MALFORMED"],
  ])("makes a dead letter with its raw bytes of %s", async (_name, make, expected) => {
    const { agent, smuggle } = hub();
    const channel = channelOf();
    const { id: schemaId } = await registry.register(`${channel}-value`, ORDER_SCHEMA);
    const service = await agent("a", { [channel]: registry.avro() });
    const { got } = await listen(service, channel);
    const body = make(schemaId);
    const id = await smuggle(channel, body);

    await expect.poll(() => service.deadLetters.get(id)).toMatchObject({ code: expected, attempts: 1 });
    const entry = await service.deadLetters.get(id);
    expect(Buffer.from(entry?.body ?? []).equals(body)).toBe(true);
    expect(got).toEqual([]);
  });

  it("is asked once for what many want at the same time, and not again", async () => {
    const { agent } = hub();
    const channel = channelOf();
    const once = new SchemaRegistry({ url: front.url });
    const writer = await agent("w", { [channel]: once.avro({ schema: ORDER_SCHEMA, register: true }) });
    const reader = await agent("r", { [channel]: new SchemaRegistry({ url: front.url }).avro() });
    const { got } = await listen(reader, channel);
    const before = front.asked.length;

    await Promise.all(
      Array.from({ length: 100 }, (_none, n) => writer.publish(channel, { ...ORDER, id: n })),
    );
    await expect.poll(() => got).toHaveLength(100);
    await writer.publish(channel, ORDER);
    await expect.poll(() => got).toHaveLength(101);

    expect(front.asked.slice(before).map(({ method }) => method)).toEqual(["POST", "GET"]);
    expect(got.slice(0, 100).map(({ payload }) => (payload as { id: number }).id)).toEqual(
      Array.from({ length: 100 }, (_none, n) => n),
    );
  });

  it("may be away once it has been asked; before that, messages wait for it by the retry policy", async () => {
    const { agent, smuggle } = hub();
    const channel = channelOf();
    const { id } = await registry.register(`${channel}-value`, ORDER_SCHEMA);
    const options = { url: front.url, maxRetries: 0, latestTtlMs: 0 };
    const service = await agent("a", { [channel]: new SchemaRegistry(options).avro() });
    const { got } = await listen(service, channel);
    onTestFinished(() => front.behave(() => "pass"));

    front.behave(() => "drop");
    await smuggle(channel, withId(id, ORDER_AVRO));
    await expect(service.publish(channel, ORDER)).rejects.toMatchObject({
      code: "NOT_CONNECTED",
      retryable: true,
    });
    await expect.poll(() => service.getMetrics().retried).toBeGreaterThan(0);
    expect(got).toEqual([]);
    front.behave(() => "pass");
    await expect.poll(() => got).toHaveLength(1);
    await service.publish(channel, ORDER);
    front.behave(() => "drop");
    for (let n = 0; n < 3; n++) await service.publish(channel, ORDER);

    await expect.poll(() => got).toHaveLength(5);
  });
});
