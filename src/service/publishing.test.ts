import { describe, expect, it } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import type { PublishResult } from "../core/broker.ts";
import type { Message } from "../core/message.ts";
import { BrokerWrapper } from "../core/broker-wrapper.ts";
import { world } from "../../test/support/agents.ts";

describe("publish", () => {
  it("resolves with the id of what its subscribers get: six keys, and metadata for everything else", async () => {
    const { agent } = world();
    const service = await agent("a");
    const got: Message[] = [];
    await service.subscribe("x", (message) => void got.push(message));

    const id = await service.publish(
      "x",
      { n: 1 },
      { type: "event", headers: { tag: "t" }, origin: "external" },
    );
    await expect.poll(() => got).toHaveLength(1);

    expect(got[0]).toEqual({
      id,
      timestamp: "2026-01-01T00:00:00.000Z",
      source: "a",
      channel: "x",
      payload: { n: 1 },
      metadata: {
        type: "event",
        origin: "external",
        correlationId: id,
        contentType: "application/json",
        priority: 50,
        retryCount: 0,
        headers: { tag: "t" },
      },
    });
  });

  it("is held to the service's limits", async () => {
    const { agent } = world();
    const service = await agent("a", { limits: { maxMessageBytes: 10, maxHeaderBytes: 10, maxDepth: 2 } });

    await expect(service.publish("x", "0123456789")).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    await expect(service.publish("x", [[[]]])).rejects.toMatchObject({ code: "DEPTH_LIMIT" });
    await expect(service.publish("x", 1, { headers: { tag: "0123456789" } })).rejects.toMatchObject({
      code: "HEADERS_TOO_LARGE",
    });
    await expect(service.publish("x", "01234567")).resolves.toEqual(expect.any(String));
  });

  it("rejects with TIMEOUT when the broker does not answer, and with OVERLOADED when too many wait", async () => {
    const { agent, clock, broker } = world();
    const answer = Promise.withResolvers<readonly PublishResult[]>();
    class Silent extends BrokerWrapper {
      override publish(): Promise<readonly PublishResult[]> {
        return answer.promise;
      }
    }
    const service = await agent("a", {
      broker: new Silent(broker),
      publishTimeoutMs: 500,
      maxPendingPublishes: 2,
    });

    const publishes = [1, 2, 3].map((n) =>
      service.publish("x", n).catch((error: { code: string }) => error.code),
    );
    expect(await publishes[2]).toBe("OVERLOADED");
    await clock.advanceAsync(500);

    expect(await Promise.all(publishes)).toEqual(["TIMEOUT", "TIMEOUT", "OVERLOADED"]);
    expect(service.getMetrics()).toMatchObject({ published: 0, publishFailed: 2 });
  });

  it("with delayMs is handed out when that has passed, and not before", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const got: unknown[] = [];
    await service.subscribe("x", (message) => void got.push(message.payload));

    await service.publish("x", "late", { delayMs: 1000 });
    await service.publish("x", "at once");
    await clock.advanceAsync(999);
    expect(got).toEqual(["at once"]);
    await clock.advanceAsync(1);

    expect(got).toEqual(["at once", "late"]);
  });

  it("goes by the service's clock also on the broker that a service makes for itself", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { broker: "memory:" });
    const got: unknown[] = [];
    await service.subscribe("x", (message) => void got.push(message.payload));

    await service.publish("x", 1, { delayMs: 1000 });
    await clock.advanceAsync(999);
    expect(got).toEqual([]);
    await clock.advanceAsync(1);

    expect(got).toEqual([1]);
  });

  it("by priority is handled critical first and low last, numbers in between, equals in order", async () => {
    const { agent } = world();
    const service = await agent("a");
    const [got, open] = [[] as unknown[], Promise.withResolvers<void>()];
    const handler = (message: Message): Promise<void> | void => {
      if (message.payload === "gate") return open.promise;
      got.push(message.payload);
    };
    await service.subscribe("x", handler, { maxConcurrency: 1, prefetch: 1 });
    await service.publish("x", "gate");

    for (const priority of ["low", "normal", 99, 49, "high", "critical", 0] as const) {
      await service.publish("x", priority, { priority });
    }
    await service.publish("x", "unnamed");
    open.resolve();

    await expect.poll(() => got).toEqual([0, "critical", "high", 49, "normal", "unnamed", "low", 99]);
    await expect(service.publish("x", 1, { priority: "urgent" as never })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field: "priority" },
    });
  });

  it("with dedupe stores an id once within the broker's window, and counts the second as a duplicate", async () => {
    const { agent } = world();
    const service = await agent("a");
    const got: unknown[] = [];
    await service.subscribe("x", (message) => void got.push(message.payload));

    for (const dedupe of [true, true, false]) await service.publish("x", dedupe, { id: "same", dedupe });
    await service.publish("x", "unsaid", { id: "same" });

    await expect.poll(() => got).toEqual([true, false, "unsaid"]);
    expect(service.getMetrics().duplicates).toBe(1);
  });

  it("recognises ids without being asked where the service is exactly-once", async () => {
    const { agent } = world();
    const service = await agent("a", { defaultDeliveryGuarantee: "exactly-once" });

    await service.publish("x", 1, { id: "same" });
    await service.publish("x", 2, { id: "same" });

    expect(service.getMetrics()).toMatchObject({ published: 2, duplicates: 1 });
  });
});

describe("publishBatch", () => {
  it("resolves with what became of each message in its place, and publishes the good ones in order", async () => {
    const { agent } = world();
    const service = await agent("a");
    const got: Message[] = [];
    await service.subscribe("x", (message) => void got.push(message));

    const results = await service.publishBatch([
      { channel: "x", payload: 1, options: { id: "first" } },
      { channel: "x y", payload: 2 },
      { channel: "x", payload: undefined },
      { channel: "x", payload: 3, options: { id: "third", headers: { tag: "t" } } },
      undefined as never,
    ]);

    expect(results.map((result) => (result.ok ? result.id : result.error.code))).toEqual([
      "first",
      "INVALID_CHANNEL",
      "UNSERIALIZABLE",
      "third",
      "INVALID_CHANNEL",
    ]);
    await expect.poll(() => got.map(({ id }) => id)).toEqual(["first", "third"]);
    expect(got[1]?.metadata.headers).toEqual({ tag: "t" });
  });

  it("of nothing is nothing, of a stopped service is CLOSED in every place, of what is no list INVALID_ARGUMENT", async () => {
    const { agent } = world();
    const service = await agent("a");

    expect(await service.publishBatch([])).toEqual([]);
    await expect(service.publishBatch("x" as never)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field: "messages" },
    });
    await service.stop();
    expect(await service.publishBatch([{ channel: "x", payload: 1 }])).toMatchObject([
      { ok: false, error: { code: "CLOSED" } },
    ]);
  });
});

describe("publishToAgent and broadcast", () => {
  it("reach one agent on agent-<id>, and every agent on hub-broadcast", async () => {
    const { agent } = world();
    const [a, b, c] = [await agent("a"), await agent("b"), await agent("c")];
    const got: string[] = [];
    for (const service of [b, c]) {
      const listen = ({ channel, payload, metadata }: Message) =>
        void got.push(`${service.agentId} ${channel} ${String(payload)} ${metadata.to ?? "all"}`);
      await service.subscribe(`agent-${service.agentId}`, listen);
      await service.subscribe("hub-broadcast", listen);
    }

    await a.publishToAgent("b", 1);
    await a.publishToAgent("c", 2, { to: "somebody" });
    await a.broadcast(3);

    await expect
      .poll(() => got.toSorted())
      .toEqual(["b agent-b 1 b", "b hub-broadcast 3 all", "c agent-c 2 somebody", "c hub-broadcast 3 all"]);
  });
});

describe("a broker that services share by its URL", () => {
  it("carries messages from one to the other", async () => {
    const { agent } = world();
    const [a, b] = [
      await agent("a", { broker: "memory:publishing" }),
      await agent("b", { broker: "memory:publishing" }),
    ];
    const got: unknown[] = [];
    await b.subscribe("x", (message) => void got.push(message.payload));

    await a.publish("x", 1);

    await expect.poll(() => got).toEqual([1]);
  });

  it("is no other's: a service without one, and one with its own object, hear nothing", async () => {
    const { agent } = world();
    const [a, b, c] = [
      await agent("a", { broker: "memory:" }),
      await agent("b", { broker: "memory:" }),
      await agent("c", { broker: new MemoryBroker() }),
    ];
    const got: unknown[] = [];
    for (const service of [a, b, c]) await service.subscribe("x", () => void got.push(service.agentId));

    await a.publish("x", 1);

    await expect.poll(() => got).toEqual(["a"]);
    expect(
      (await b.listChannels()).concat(await c.listChannels()).map(({ channel }) => channel),
    ).not.toContain("x");
  });
});
