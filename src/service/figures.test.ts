import { describe, expect, it } from "vitest";
import type { BrokerReport } from "../core/broker.ts";
import { BrokerWrapper } from "../core/broker-wrapper.ts";
import { world } from "../../test/support/agents.ts";
import { MessagingService } from "./service.ts";

describe("getMetrics", () => {
  it("has every figure that it promises, all zero before anything happens, at once and without a start", () => {
    const { clock } = world();
    const snapshot = new MessagingService({ agentId: "a", clock }).getMetrics();

    const zeros = [
      ..."published delivered handled failed retried redelivered deadLettered discarded expired duplicates".split(
        " ",
      ),
      ..."filtered snoozed publishFailed lateReplies throughput".split(" "),
      ..."avgLatencyMs p50LatencyMs p95LatencyMs p99LatencyMs".split(" "),
    ];
    expect(snapshot).toEqual({
      ...Object.fromEntries(zeros.map((name) => [name, 0])),
      windowMs: 60_000,
      timestamp: "2026-01-01T00:00:00.000Z",
      channels: {},
      groups: [],
      breakers: [],
    });
  });

  it("adds up: what was delivered is handled, failed or discarded, over all channels and groups", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { retry: { maxAttempts: 2 } });
    await service.subscribe("good", () => {});
    await service.subscribe("bad", () => {
      throw new Error("no");
    });
    await service.subscribe("*", () => {}, { group: "audit", filter: { fields: { wanted: true } } });

    for (const wanted of [true, false, true]) await service.publish("good", { wanted });
    for (const wanted of [false, true]) await service.publish("bad", { wanted });
    await clock.advanceAsync(1000);

    const metrics = service.getMetrics();
    expect(metrics).toMatchObject({
      // Five by the author, two dead letters.
      published: 5 + 2,
      delivered: 3 + 4 + 3,
      handled: 3 + 3,
      failed: 4,
      retried: 2,
      redelivered: 2,
      deadLettered: 2,
      filtered: 2,
    });
    expect(metrics.delivered).toBe(metrics.handled + metrics.failed);
    expect(metrics.failed).toBe(metrics.retried + metrics.deadLettered + metrics.discarded);
    expect(metrics.channels).toMatchObject({
      good: { published: 3 },
      bad: { published: 2 },
      "dlq.a": { published: 2 },
    });
    for (const name of ["delivered", "handled", "failed", "filtered"] as const) {
      expect(metrics.groups.reduce((sum, group) => sum + group[name], 0)).toBe(metrics[name]);
    }
    expect(metrics.groups.map(({ channel, group, handled }) => [channel, group, handled])).toEqual([
      ["good", "a", 3],
      ["good", "audit", 2],
      ["bad", "a", 0],
      ["bad", "audit", 1],
    ]);
  });

  it("measures latency from publish to handled, and throughput over the last minute", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const release: (() => void)[] = [];
    await service.subscribe("x", () => new Promise<void>((resolve) => release.push(resolve)));

    for (let n = 0; n < 4; n++) {
      await service.publish("x", n);
      await clock.advanceAsync(n === 3 ? 400 : 100);
      release[n]?.();
      await clock.advanceAsync(0);
    }

    await clock.advanceAsync(1300);
    const { avgLatencyMs, p50LatencyMs, p95LatencyMs, p99LatencyMs, throughput, groups } =
      service.getMetrics();
    expect(avgLatencyMs).toBeCloseTo(175, 6);
    expect([p50LatencyMs, p95LatencyMs, p99LatencyMs].map((ms) => Math.round(ms / 10) * 10)).toEqual([
      100, 400, 400,
    ]);
    expect(groups[0]?.latency.avgLatencyMs).toBeCloseTo(175, 6);
    expect(throughput).toBe(4 / 2);
    clock.advance(120_000);
    expect(service.getMetrics().throughput).toBe(0);
  });
});

describe("getHealth", () => {
  it("is healthy with nothing to do, also after hours, and says what it was judged by", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    await service.subscribe("x", () => {});
    await service.publish("x", 1);
    await clock.advanceAsync(3_600_000);

    expect(await service.getHealth()).toEqual({
      status: "healthy",
      reasons: [],
      connections: 1,
      channels: 2,
      subscriptions: 1,
      pendingMessages: 0,
      uptimeMs: 3_600_000,
      timestamp: "2026-01-01T01:00:00.000Z",
    });
  });

  it("is unhealthy when work waits and nothing finishes for stalledAfterMs, and healthy again when it does", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { stalledAfterMs: 5000 });
    const release = Promise.withResolvers<void>();
    await service.subscribe("x", () => release.promise);
    for (let n = 0; n < 3; n++) await service.publish("x", n);

    await clock.advanceAsync(5000);
    expect(await service.getHealth()).toMatchObject({ status: "healthy", pendingMessages: 3 });
    await clock.advanceAsync(1);
    expect(await service.getHealth()).toMatchObject({
      status: "unhealthy",
      reasons: ["3 messages wait and none was handled for 5 s"],
      connections: 1,
    });

    release.resolve();
    await expect.poll(async () => (await service.getHealth()).status).toBe("healthy");
  });

  it("is healthy while work is done that came after quiet hours", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    await service.subscribe("x", () => new Promise(() => {}));
    await clock.advanceAsync(3_600_000);
    await service.publish("x", 1);

    await clock.advanceAsync(60_000);
    expect(await service.getHealth()).toMatchObject({ status: "healthy", pendingMessages: 1 });
    await clock.advanceAsync(60_000);
    expect((await service.getHealth()).status).toBe("unhealthy");
  });

  it("does not mind what waits for somebody else's group", async () => {
    const { agent, clock } = world();
    const [service, other] = [await agent("a"), await agent("b")];
    await service.subscribe("x", () => {});
    await (await other.subscribe("x", () => {})).unsubscribe();
    await service.publish("x", 1);

    await clock.advanceAsync(3_600_000);

    expect(await service.getHealth()).toMatchObject({ status: "healthy", pendingMessages: 0 });
  });

  it("is degraded once messages were dropped by the overflow policy", async () => {
    const { agent } = world({ overflow: "drop-oldest", maxMessages: 2 });
    const service = await agent("a");
    await (await service.subscribe("x", () => {})).unsubscribe();

    for (let n = 0; n < 5; n++) await service.publish("x", n);

    expect(await service.getHealth()).toMatchObject({
      status: "degraded",
      reasons: ["3 messages were dropped by the overflow policy"],
    });
  });

  it.each([
    ["degraded", "degraded", 1],
    ["down", "unhealthy", 0],
  ] as const)("with a broker that is %s is %s", async (state, status, connections) => {
    const { agent, broker } = world();
    class Ailing extends BrokerWrapper {
      override async inspect(): Promise<BrokerReport> {
        return { ...(await this.inner.inspect()), state };
      }
    }
    const service = await agent("a", { broker: new Ailing(broker) });

    expect(await service.getHealth()).toMatchObject({
      status,
      connections,
      reasons: [`the broker is ${state}`],
    });
  });

  it("of a service that does not run is unhealthy, with an uptime of nothing", async () => {
    const { agent } = world();
    const service = await agent("a");
    await service.stop();

    expect(await service.getHealth()).toMatchObject({ status: "unhealthy", connections: 0, uptimeMs: 0 });
  });
});

describe("figures of channels", () => {
  it("getChannelStats counts what this service published, consumed and failed, and what waits in the broker", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { retry: { maxAttempts: 1 } });
    await service.subscribe("x.y", (message) => {
      if (message.payload === "bad") throw new Error("no");
    });
    await service.subscribe("x.*", () => {});
    await (await (await agent("b")).subscribe("x.y", () => {})).unsubscribe();
    for (const payload of ["good", "bad"]) await service.publish("x.y", payload);
    await clock.advanceAsync(1000);

    expect(await service.getChannelStats("x.y")).toEqual({
      channel: "x.y",
      messagesPublished: 2,
      messagesConsumed: 3,
      messagesPending: 2,
      messagesFailed: 1,
      messagesDeadLettered: 1,
      subscriptions: 2,
      messagesPerSecond: 3,
    });
    expect(await service.getChannelStats("unknown")).toMatchObject({
      messagesPublished: 0,
      subscriptions: 0,
    });
  });

  it("getConsumerLag tells what waits for each group on each channel, or for the one that is asked for", async () => {
    const { agent } = world();
    const service = await agent("a");
    const open = Promise.withResolvers<void>();
    await service.subscribe("one", () => open.promise, { maxConcurrency: 1, prefetch: 1 });
    await (await service.subscribe("two", () => {}, { group: "away" })).unsubscribe();
    for (const channel of ["one", "one", "two"]) await service.publish(channel, 1);

    const one = { channel: "one", group: "a", lag: 2, unsettled: 1 };
    const two = { channel: "two", group: "away", lag: 1, unsettled: 0 };
    expect(await service.getConsumerLag()).toEqual([one, two]);
    expect(await service.getConsumerLag({ channel: "one" })).toEqual([one]);
    expect(await service.getConsumerLag({ group: "away" })).toEqual([two]);
    expect(await service.getConsumerLag({ channel: "one", group: "away" })).toEqual([]);
    open.resolve();
  });

  it("listChannels knows every channel of the broker, with its groups", async () => {
    const { agent } = world();
    const [service, other] = [await agent("a"), await agent("b")];
    await service.publish("x", 1);
    await other.subscribe("y", () => {});
    await service.publish("y", 1);

    const channels = await service.listChannels();

    expect(channels.map(({ channel }) => channel).toSorted()).toEqual(["dlq.a", "dlq.b", "x", "y"]);
    expect(channels.find(({ channel }) => channel === "y")?.groups).toMatchObject([{ group: "b" }]);
    expect(channels.find(({ channel }) => channel === "x")).toMatchObject({ depth: 1, groups: [] });
  });

  it("count unknown numbers as nothing", async () => {
    const { agent, broker } = world();
    class Vague extends BrokerWrapper {
      override async inspect(): Promise<BrokerReport> {
        const groups = [{ group: "a", lag: null, unsettled: null }];
        return { state: "up", dropped: 0, channels: [{ channel: "x", depth: null, groups }] };
      }
    }
    const service = await agent("a", { broker: new Vague(broker) });
    await service.subscribe("x", () => {});

    expect(await service.getChannelStats("x")).toMatchObject({ messagesPending: 0 });
    expect(await service.getHealth()).toMatchObject({ status: "healthy", pendingMessages: 0 });
    expect(await service.getConsumerLag()).toEqual([
      { channel: "x", group: "a", lag: null, unsettled: null },
    ]);
  });
});
