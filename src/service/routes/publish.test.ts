import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryBroker } from "../../brokers/memory/broker.ts";
import type { Message } from "../../core/message.ts";
import type { MessagingServiceOptions } from "../options.ts";
import { MessagingService } from "../service.ts";
import { createRouting, type Routing, type RoutingOptions } from "./routing.ts";

type Rule = Readonly<Record<string, unknown>>;

function routingOf(
  rules: readonly Rule[],
  more: Readonly<Record<string, unknown>> = {},
  options: RoutingOptions = {},
): Promise<Routing> {
  const document = {
    apiVersion: "ossa/v0.3.1",
    kind: "MessageRouting",
    metadata: { name: "team" },
    spec: { rules, ...more },
  };
  return createRouting(document, options);
}

async function started(
  agentId: string,
  broker: MemoryBroker,
  options: Partial<MessagingServiceOptions> = {},
): Promise<MessagingService> {
  const service = new MessagingService({ agentId, broker, ...options });
  await service.start();
  onTestFinished(async () => void (await service.stop()));
  return service;
}

/** What an agent gets on its own channel. */
async function inbox(agentId: string, broker: MemoryBroker): Promise<Message[]> {
  const got: Message[] = [];
  const service = await started(agentId, broker);
  await service.subscribe(`agent-${agentId}`, (message) => void got.push(message));
  return got;
}

const RULE = { id: "r1", source: "scanner", channel: "security.*", targets: ["triage", "audit"] };
const TRANSFORMS = {
  transforms: {
    jmespath: { type: "jmespath", expression: "{id: id}" },
    jsonata: { type: "jsonata", expression: '{ "id": id, "by": $message.source }' },
    template: { type: "template", expression: '{ "text": "{{payload.id}} on {{channel}}" }' },
    custom: { type: "custom", expression: "upper", outputSchema: { type: "object", required: ["ID"] } },
    broken: { type: "template", expression: "{{gone}}" },
    late: { type: "jsonata", expression: "gone" },
  },
};
const functions = {
  upper: (payload: unknown) =>
    Object.fromEntries(Object.entries(payload as object).map(([key, value]) => [key.toUpperCase(), value])),
};

describe("a message that an agent publishes", () => {
  it("reaches the targets of its rules on their own channels, and its channel's subscribers as ever", async () => {
    const broker = new MemoryBroker();
    const [triage, audit] = [await inbox("triage", broker), await inbox("audit", broker)];
    const scanner = await started("scanner", broker, { routing: await routingOf([RULE]) });
    const heard: Message[] = [];
    await (await started("other", broker)).subscribe("security.found", (message) => void heard.push(message));
    const id = await scanner.publish(
      "security.found",
      { n: 1 },
      { priority: 5, partitionKey: "k", headers: { "x-a": "1" } },
    );
    await expect.poll(() => [triage.length, audit.length, heard.length]).toEqual([1, 1, 1]);
    expect(heard[0]).toMatchObject({ id, payload: { n: 1 }, metadata: { headers: { "x-a": "1" } } });
    expect(triage[0]).toMatchObject({
      source: "scanner",
      channel: "agent-triage",
      timestamp: heard[0]?.timestamp,
      payload: { n: 1 },
      metadata: {
        to: "triage",
        correlationId: id,
        causationId: id,
        priority: 5,
        partitionKey: "k",
        headers: { "x-a": "1", "x-route-from": "security.found", "x-route-rule": "r1" },
      },
    });
    expect(triage[0]?.id).not.toBe(id);
    expect(triage[0]?.metadata.traceId).toBe(id.replaceAll("-", ""));
  });

  it("goes nowhere else when it is another agent's, or no rule takes it", async () => {
    const broker = new MemoryBroker();
    const triage = await inbox("triage", broker);
    const routing = await routingOf([RULE]);
    const [scanner, other] = [
      await started("scanner", broker, { routing }),
      await started("other", broker, { routing }),
    ];
    await other.publish("security.found", 1);
    await scanner.publish("orders.created", 2);
    await scanner.publish("security.found", 3);
    await expect.poll(() => triage.map(({ payload }) => payload)).toEqual([3]);
  });

  it.each([
    ["jmespath", { id: 7 }],
    ["jsonata", { id: 7, by: "scanner" }],
    ["template", { text: "7 on security.found" }],
    ["custom", { ID: 7, MORE: true }],
  ])("is made over by %s for the targets, and stays as it is on its channel", async (transform, expected) => {
    const broker = new MemoryBroker();
    const triage = await inbox("triage", broker);
    const routing = await routingOf([{ ...RULE, transform }], TRANSFORMS, { functions });
    const scanner = await started("scanner", broker, { routing });
    const heard: unknown[] = [];
    await scanner.subscribe("security.found", ({ payload }) => void heard.push(payload));
    const payload = { id: 7, more: true };
    const published = scanner.publish("security.found", payload);
    payload.id = 8;
    await published;
    await expect
      .poll(() => [...triage.map((message) => message.payload), ...heard])
      .toEqual([expected, { id: 7, more: true }]);
  });

  it("keeps its place among those of its channel, also where the transform takes its time", async () => {
    const broker = new MemoryBroker();
    const triage = await inbox("triage", broker);
    const routing = await routingOf([{ ...RULE, transform: "jsonata" }], TRANSFORMS, { functions });
    const scanner = await started("scanner", broker, { routing });
    await Promise.all(
      Array.from({ length: 100 }, (_none, id) =>
        scanner.publish("security.found", { id }, { partitionKey: "k" }),
      ),
    );
    await expect.poll(() => triage.length).toBe(100);
    expect(triage.map(({ payload }) => (payload as { id: number }).id)).toEqual(
      Array.from({ length: 100 }, (_none, id) => id),
    );
  });

  it("carries the conversation that it is published in, and the targets are asked nothing", async () => {
    const broker = new MemoryBroker();
    const triage = await inbox("triage", broker);
    const scanner = await started("scanner", broker, { routing: await routingOf([RULE]) });
    await scanner.subscribe("start", async () => void (await scanner.publish("security.found", 1)));
    const first = await (await started("asker", broker)).publish("start", 0);
    await expect.poll(() => triage.length).toBe(1);
    expect(triage[0]?.metadata).toMatchObject({ correlationId: first, hops: 1 });
    await scanner.subscribe("security.ask", () => "answer");
    expect(await scanner.request("security.ask", null)).toBe("answer");
    await expect.poll(() => triage.length).toBe(2);
    expect(triage[1]?.metadata.replyTo).toBeUndefined();
  });

  it("is sent with its copies only when an exactly-once handler has succeeded, once", async () => {
    const broker = new MemoryBroker();
    const triage = await inbox("triage", broker);
    const routing = await routingOf([{ ...RULE, transform: "jsonata" }], TRANSFORMS, { functions });
    const scanner = await started("scanner", broker, {
      routing,
      defaultDeliveryGuarantee: "exactly-once",
      retry: { backoff: { initialDelayMs: 1 } },
    });
    let fails = 2;
    await scanner.subscribe("start", async () => {
      await scanner.publish("security.found", { id: 1 });
      if (fails-- > 0) throw new Error("not yet");
    });
    await scanner.publish("start", 0);
    await expect.poll(() => fails).toBe(-1);
    await scanner.publish("security.end", { id: "end" });
    await expect.poll(() => triage.map(({ payload }) => (payload as { id: unknown }).id)).toEqual([1, "end"]);
  });
});

describe("agents that pass on what they get", () => {
  it("in a circle over several channels are cut off by the hops of their conversation, with a dead letter", async () => {
    const broker = new MemoryBroker();
    const rules = [
      { id: "there", source: "a", channel: "ping", targets: ["b"] },
      { id: "back", source: "b", channel: "pong", targets: ["a"] },
    ];
    const routing = await routingOf(rules);
    const a = await started("a", broker, { routing });
    const b = await started("b", broker, { routing });
    let passes = 0;
    await a.subscribe("agent-a", async () => (passes++, a.publish("ping", null)));
    await b.subscribe("agent-b", async () => (passes++, b.publish("pong", null)));
    await a.publish("ping", null);
    await expect
      .poll(async () => (await a.deadLetters.list()).map(({ code }) => code))
      .toEqual(["HOP_LIMIT"]);
    expect(passes).toBe(33);
  });
});

describe("a copy that cannot be made", () => {
  it.each(["broken", "late"])(
    "is a dead letter, the others go out, and sent back it is routed again: %s",
    async (transform) => {
      const broker = new MemoryBroker();
      const [triage, audit] = [await inbox("triage", broker), await inbox("audit", broker)];
      const rules = [
        { ...RULE, targets: ["triage"], transform },
        { ...RULE, id: "r2", targets: ["audit"] },
      ];
      const scanner = await started("scanner", broker, {
        routing: await routingOf(rules, TRANSFORMS, { functions }),
      });
      const id = await scanner.publish("security.found", { id: 1 });
      await expect.poll(() => audit.length).toBe(1);
      const letters = await scanner.deadLetters.list();
      expect(letters).toMatchObject([{ id, code: "TRANSFORM_FAILED", channel: "security.found" }]);
      await expect((await started("operator", broker)).deadLetters.redrive(id)).rejects.toMatchObject({
        code: "UNSUPPORTED",
      });
      await scanner.stop();

      const mended = await started("scanner", broker, {
        routing: await routingOf([RULE], TRANSFORMS, { functions }),
      });
      await mended.deadLetters.redrive(id);
      await expect.poll(() => triage.map(({ payload }) => payload)).toEqual([{ id: 1 }]);
      expect(triage[0]).toMatchObject({
        source: "scanner",
        metadata: { headers: { "x-route-from": "security.found" } },
      });
      expect(Object.keys(triage[0]?.metadata.headers ?? {}).toSorted()).toEqual([
        "x-route-from",
        "x-route-rule",
      ]);
      expect(audit).toHaveLength(1);
      expect(await mended.deadLetters.list()).toEqual([]);
    },
  );

  it("breaks its outputSchema: a dead letter with SCHEMA_VIOLATION", async () => {
    const broker = new MemoryBroker();
    const routing = await routingOf([{ ...RULE, targets: ["triage"], transform: "custom" }], TRANSFORMS, {
      functions,
    });
    const scanner = await started("scanner", broker, { routing });
    await scanner.publish("security.found", { other: 1 });
    expect(await scanner.deadLetters.list()).toMatchObject([{ code: "SCHEMA_VIOLATION" }]);
  });

  it("fails the publish where dead letters are switched off, before anything is sent", async () => {
    const broker = new MemoryBroker();
    const routing = await routingOf([{ ...RULE, transform: "broken" }], TRANSFORMS, { functions });
    const scanner = await started("scanner", broker, { routing, dlq: { enabled: false } });
    await expect(scanner.publish("security.found", {})).rejects.toMatchObject({ code: "TRANSFORM_FAILED" });
    expect(await scanner.listChannels()).toEqual([]);
  });
});

describe("a function", () => {
  it("gets a copy of the payload, has a time limit, and what it throws is the dead letter's reason", async () => {
    const broker = new MemoryBroker();
    const hostile = {
      never: () => new Promise(() => undefined),
      throws: () => {
        throw new Error("no such customer");
      },
      changes: (payload: unknown) => Object.assign(payload as object, { changed: true }),
    };
    const transforms = Object.fromEntries(Object.keys(hostile).map((name) => [name, { type: "custom" }]));
    const rules = Object.keys(hostile).map((name) => ({
      id: name,
      source: "a",
      channel: `c.${name}`,
      targets: ["x"],
      transform: name,
    }));
    const routing = await routingOf(rules, { transforms }, { functions: hostile, limits: { timeoutMs: 50 } });
    const service = await started("a", broker, { routing });
    const payload = { n: 1 };
    for (const name of Object.keys(hostile)) await service.publish(`c.${name}`, payload);
    expect(payload).toEqual({ n: 1 });
    const letters = await service.deadLetters.list();
    expect(letters.map(({ channel, reason }) => [channel, reason])).toEqual([
      ["c.never", expect.stringContaining("longer than 50 ms")],
      ["c.throws", expect.stringContaining("no such customer")],
    ]);
  });
});

describe("the default route", () => {
  it("drop sends a message that no rule takes to its own channel and nowhere else", async () => {
    const broker = new MemoryBroker();
    const scanner = await started("scanner", broker, {
      routing: await routingOf([RULE], { defaultRoute: { action: "drop" } }),
    });
    await scanner.publish("orders.created", 1);
    expect((await scanner.listChannels()).map(({ channel }) => channel)).toEqual([
      "dlq.scanner",
      "orders.created",
    ]);
    expect(await scanner.deadLetters.list()).toEqual([]);
  });

  it("dlq makes a dead letter of it as well, which is routed when it is sent back to rules that take it", async () => {
    const broker = new MemoryBroker();
    const triage = await inbox("triage", broker);
    const scanner = await started("scanner", broker, {
      routing: await routingOf([RULE], { defaultRoute: { action: "dlq" } }),
    });
    const id = await scanner.publish("orders.created", 1);
    expect(await scanner.deadLetters.list()).toMatchObject([
      { id, code: "UNROUTABLE", channel: "orders.created" },
    ]);
    await scanner.stop();
    const mended = await started("scanner", broker, {
      routing: await routingOf([{ ...RULE, channel: "#" }]),
    });
    await mended.deadLetters.redrive({ code: "UNROUTABLE" });
    await expect.poll(() => triage.map(({ payload }) => payload)).toEqual([1]);
  });

  it("broadcast sends a copy to every agent that listens, or to the agents that it names", async () => {
    const broker = new MemoryBroker();
    const triage = await inbox("triage", broker);
    const all: Message[] = [];
    await (await started("listener", broker)).subscribe("hub-broadcast", (message) => void all.push(message));
    const toAll = await routingOf([RULE], { defaultRoute: { action: "broadcast" } });
    const id = await (await started("scanner", broker, { routing: toAll })).publish("orders.created", 1);
    await expect.poll(() => all.length).toBe(1);
    expect(all[0]).toMatchObject({
      payload: 1,
      metadata: { causationId: id, headers: { "x-route-from": "orders.created" } },
    });
    const toTriage = await routingOf([RULE], { defaultRoute: { action: "broadcast", targets: ["triage"] } });
    await (await started("shop", broker, { routing: toTriage })).publish("orders.created", 2);
    await expect.poll(() => triage.map(({ payload }) => payload)).toEqual([2]);
    expect(all).toHaveLength(1);
  });
});
