import { describe, expect, it, vi } from "vitest";
import type { Logger } from "../core/logger.ts";
import type { Message } from "../core/message.ts";
import { world } from "../../test/support/agents.ts";
import { defineChannel } from "./channel-definition.ts";
import { trimmed } from "../../test/support/schemas.ts";
import { MessagingService } from "./service.ts";

const ORDER = {
  type: "object",
  properties: { id: { type: "string" }, lines: { type: "array", items: { type: "integer" } } },
  required: ["id"],
};

function listeningLogger() {
  const warn = vi.fn<Logger["warn"]>();
  return {
    warn,
    debug: vi.fn<Logger["debug"]>(),
    info: vi.fn<Logger["info"]>(),
    error: vi.fn<Logger["error"]>(),
  };
}

describe("a declared channel, at its publisher", () => {
  it("rejects with SCHEMA_VIOLATION and the failing paths, and publishes nothing", async () => {
    const { agent } = world();
    const service = await agent("a", {
      messaging: { publishes: [{ channel: "orders.created", schema: ORDER }] },
    });

    const wrong = service.publish("orders.created", { lines: [1, "two", 3.5] });

    await expect(wrong).rejects.toMatchObject({
      code: "SCHEMA_VIOLATION",
      retryable: false,
      details: {
        channel: "orders.created",
        issues: [{ path: "id" }, { path: "lines[1]" }, { path: "lines[2]" }],
      },
    });
    await expect(wrong).rejects.toThrow(
      /^The payload on 'orders\.created' does not match its schema: .*lines\[1\]/,
    );
    expect(service.getMetrics().published).toBe(0);
    await expect(service.publish("orders.created", { id: "7", lines: [1] })).resolves.toMatch(
      /^[0-9a-f-]{36}$/,
    );
  });

  it("says of many violations the first three and how many more there are", async () => {
    const { agent } = world();
    const service = await agent("a", {
      messaging: { publishes: [{ channel: "orders.created", schema: ORDER }] },
    });

    const lines = ["a", "b", "c", "d"];
    await expect(service.publish("orders.created", { id: "7", lines })).rejects.toThrow(
      /lines\[2\].*; and 1 more\.$/,
    );
    await expect(service.publish("orders.created", 7)).rejects.toThrow(/schema: the value .*object/);
  });

  it("holds every message of a batch, and every request, to its schema", async () => {
    const { agent } = world();
    const service = await agent("a", {
      messaging: { publishes: [{ channel: "orders.created", schema: ORDER }] },
    });

    const [good, bad] = await service.publishBatch([
      { channel: "orders.created", payload: { id: "1" } },
      { channel: "orders.created", payload: {} },
    ]);

    expect(good).toMatchObject({ ok: true });
    expect(bad).toMatchObject({ ok: false, error: { code: "SCHEMA_VIOLATION" } });
    await expect(service.request("orders.created", {})).rejects.toMatchObject({ code: "SCHEMA_VIOLATION" });
  });

  it.each([
    ["at once", false],
    ["later", true],
  ])(
    "takes a Standard Schema that answers %s, and lets the author's own value travel",
    async (_when, isLate) => {
      const { agent } = world();
      const service = await agent("a", {
        messaging: { publishes: [{ channel: "names", schema: trimmed(isLate) }] },
      });
      const got: unknown[] = [];
      await service.subscribe("names", (message) => message.payload);
      await service.subscribe("names", (message) => void got.push(message.payload));

      await service.publish("names", "  Ada ");
      await expect(service.publish("names", 7)).rejects.toMatchObject({
        code: "SCHEMA_VIOLATION",
        details: { issues: [{ path: "at", message: "must be a text" }] },
      });
      await expect(service.request("names", 7)).rejects.toMatchObject({ code: "SCHEMA_VIOLATION" });

      await expect(service.request("names", " Bob ")).resolves.toBe(" Bob ");
      expect(got).toEqual(["  Ada ", " Bob "]);
    },
  );

  it("publishes what was handed in, whatever its author makes of it while a schema answers later", async () => {
    const { agent } = world();
    const schema = {
      "~standard": { version: 1, vendor: "t", validate: (value: unknown) => Promise.resolve({ value }) },
    };
    const messaging = {
      publishes: [
        { channel: "names", schema },
        { channel: "bytes", schema },
      ],
    };
    const service = await agent("a", { messaging });
    const got: unknown[] = [];
    await service.subscribe("names", (message) => got.push(message.payload));
    await service.subscribe("bytes", (message) => void got.push(message.payload));
    await service.request("names", null);
    got.length = 0;
    const [payload, question, bytes] = [{ name: "Ada" }, { name: "Bob" }, Uint8Array.of(1, 2)];

    const doing = [
      service.publish("names", payload),
      service.request("names", question),
      service.publish("bytes", bytes),
    ];
    payload.name = question.name = "Eve";
    bytes.fill(0);
    await Promise.all(doing);

    await expect.poll(() => got).toEqual([{ name: "Ada" }, { name: "Bob" }, Uint8Array.of(1, 2)]);
  });

  it("rejects what cannot be sent with its own error, and leaves no rejection behind, while a schema answers later", async () => {
    const { agent } = world();
    const service = await agent("a", {
      messaging: { publishes: [{ channel: "names", schema: trimmed(true) }] },
    });

    await expect(service.publish("names", 10n)).rejects.toMatchObject({ code: "UNSERIALIZABLE" });
  });
});

describe("a declared channel, at its subscriber", () => {
  it("dead-letters what breaks its schema with SCHEMA_VIOLATION after one attempt, the handler not started", async () => {
    const { agent } = world();
    const stranger = await agent("stranger");
    const service = await agent("a", {
      messaging: { subscribes: [{ channel: "orders.created", schema: ORDER }] },
    });
    const got: unknown[] = [];
    await service.subscribe("orders.created", (message) => void got.push(message.payload));

    await stranger.publish("orders.created", { id: 7 });
    await stranger.publish("orders.created", { id: "8" });

    await expect.poll(async () => (await service.deadLetters.stats()).total).toBe(1);
    expect(got).toEqual([{ id: "8" }]);
    const [letter] = await service.deadLetters.list();
    expect(letter).toMatchObject({ code: "SCHEMA_VIOLATION", attempts: 1, deadLetterChannel: "dlq.a" });
    expect(letter?.reason).toContain("id must be");
    expect(service.getMetrics()).toMatchObject({
      delivered: 1,
      handled: 1,
      failed: 1,
      deadLettered: 1,
      retried: 0,
    });
  });

  it("is held to the schema given when subscribing in place of the manifest's", async () => {
    const { agent } = world();
    const stranger = await agent("stranger");
    const service = await agent("a", {
      messaging: { subscribes: [{ channel: "orders.created", schema: ORDER }] },
    });
    const got: unknown[] = [];
    await service.subscribe("orders.created", (message) => void got.push(message.payload), {
      schema: { type: "string" },
    });

    await stranger.publish("orders.created", { id: "7" });
    await stranger.publish("orders.created", "text");

    await expect.poll(() => got).toEqual(["text"]);
    await expect
      .poll(async () => (await service.deadLetters.stats()).byCode)
      .toEqual({ SCHEMA_VIOLATION: 1 });
  });

  it("takes name and schema from a channel definition", async () => {
    const { agent } = world();
    const orders = defineChannel("orders.created", { schema: ORDER });
    const service = await agent("a");
    const got: unknown[] = [];
    await service.subscribe(orders, (message) => void got.push(message.payload));

    await service.publish(orders.channel, { id: 7 });
    await service.publish(orders, { id: "8" });

    await expect.poll(() => got).toEqual([{ id: "8" }]);
    await expect
      .poll(async () => (await service.deadLetters.stats()).byCode)
      .toEqual({ SCHEMA_VIOLATION: 1 });
  });

  it.each([
    ["at once", false],
    ["later", true],
  ])("shows its handler what a Standard Schema made %s of the payload", async (_when, isLate) => {
    const { agent } = world();
    const service = await agent("a");
    const messages: Message[] = [];
    await service.subscribe("names", (message) => void messages.push(message), { schema: trimmed(isLate) });
    const untouched: unknown[] = [];
    await service.subscribe("names", (message) => void untouched.push(message.payload));

    await service.publish("names", "  Ada ");
    await service.publish("names", { at: 7 });

    await expect.poll(() => messages.map(({ payload }) => payload)).toEqual(["Ada"]);
    await expect.poll(() => untouched).toEqual(["  Ada ", { at: 7 }]);
    await expect
      .poll(async () => (await service.deadLetters.list()).map(({ message }) => message?.payload))
      .toEqual([{ at: 7 }]);
  });
});

describe("an undeclared channel", () => {
  const messaging = { publishes: [{ channel: "orders.created" }] };

  it("rejects with FORBIDDEN, saying what to add and where", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging });

    await expect(service.publish("orders.creatd", 1)).rejects.toMatchObject({
      code: "FORBIDDEN",
      message:
        "Agent 'a' publishes to 'orders.creatd', which its manifest does not declare: add it to spec.messaging.publishes, or set strict: false.",
      details: { agentId: "a", channel: "orders.creatd" },
    });
    await expect(service.request("orders.creatd", 1)).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  it("is published with one warning for each channel when strict is false", async () => {
    const { agent } = world();
    const logger = listeningLogger();
    const service = await agent("a", { messaging, strict: false, logger });

    for (const channel of ["one", "one", "two", "orders.created"]) await service.publish(channel, 1);

    expect(logger.warn.mock.calls.map(([fields]) => fields)).toEqual([
      { agentId: "a", channel: "one" },
      { agentId: "a", channel: "two" },
    ]);
    expect(logger.warn.mock.calls[0]?.[1]).toContain("which its manifest does not declare");
    expect(service.getMetrics().published).toBe(4);
  });

  it("is no offence of an agent whose manifest declares none", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging: { subscribes: [{ channel: "x" }] } });

    await expect(service.publish("anything.goes", 1)).resolves.toEqual(expect.any(String));
  });

  it("that belongs to the runtime's own conversations needs no declaration", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging });
    const other = await agent("other");
    await other.registerCommandHandler("double", (input: number) => 2 * input);

    await expect(service.publishToAgent("other", 1)).resolves.toEqual(expect.any(String));
    await expect(service.broadcast(1)).resolves.toEqual(expect.any(String));
    await expect(service.sendCommand("other", "double", 21)).resolves.toBe(42);
    await expect(service.publish("reply.other.7", 1)).resolves.toEqual(expect.any(String));
  });

  it.each(["system.start", "dlq.a"])("of Herald itself, as %s, is refused to everybody", async (channel) => {
    const { agent } = world();
    const [strict, loose, silent] = [
      await agent("a", { messaging }),
      await agent("b", { messaging, strict: false }),
      await agent("c"),
    ];

    for (const service of [strict, loose, silent]) {
      await expect(service.publish(channel, 1)).rejects.toMatchObject({
        code: "FORBIDDEN",
        message: `'${channel}' is reserved for Herald itself: publish to a channel without the prefix '${channel.split(".")[0]}.'.`,
      });
    }
  });

  it("with a name that is none is called INVALID_CHANNEL, not undeclared", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging });

    for (const channel of ["orders created", "orders.*", "", 7, undefined, {}]) {
      await expect(service.publish(channel as string, 1)).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
      await expect(service.request(channel as string, 1)).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
    }
  });
});

describe("an unsafe schema", () => {
  const unsafe = { type: "string", pattern: "^(a+)+$" };

  it.each([
    ["publishes", { publishes: [{ channel: "x", schema: unsafe }] }, "messaging.publishes[0].schema.pattern"],
    [
      "subscribes",
      { subscribes: [{ channel: "x", schema: unsafe }] },
      "messaging.subscribes[0].schema.pattern",
    ],
    [
      "commands",
      { commands: [{ name: "x", inputSchema: unsafe }] },
      "messaging.commands[0].inputSchema.pattern",
    ],
  ])("under %s is refused when the service is made", (_where, messaging, path) => {
    expect(() => new MessagingService({ agentId: "a", messaging })).toThrow(
      expect.objectContaining({
        code: "INVALID_MANIFEST",
        details: expect.objectContaining({ path }) as object,
      }),
    );
  });

  it("given to a subscription is refused with UNSAFE_SCHEMA, and no subscription is left", async () => {
    const { agent } = world();
    const service = await agent("a");

    await expect(service.subscribe("x", () => {}, { schema: unsafe })).rejects.toMatchObject({
      code: "UNSAFE_SCHEMA",
    });
    expect(service.listSubscriptions()).toEqual([]);
    await service.publish("x", 1);
    expect(await service.getConsumerLag()).toEqual([]);
  });
});
