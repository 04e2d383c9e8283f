import { describe, expect, it, vi } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { HeraldError } from "../core/errors.ts";
import { world } from "../../test/support/agents.ts";
import { MessagingService } from "./service.ts";

describe("a service that starts again after its stop", () => {
  it.each([undefined, "memory:", "memory:restart"])(
    "on its own broker, by the URL %s, works as the first time",
    async (broker) => {
      await using service = new MessagingService({
        agentId: "a",
        ...(broker === undefined ? {} : { broker }),
      });
      for (let n = 0; n < 2; n++) {
        await service.start();
        const got: unknown[] = [];
        await service.subscribe("x", (message) => void got.push(message.payload));
        await service.subscribe("question", () => n);
        await service.publish("x", n);

        await expect.poll(() => got).toEqual([n]);
        await expect(service.request("question", null)).resolves.toBe(n);
        expect(await service.stop()).toBe(0);
      }
    },
  );

  it("on a broker that stayed open gets what was published meanwhile, by the handlers of its manifest", async () => {
    const { agent } = world();
    const other = await agent("b");
    const got: unknown[] = [];
    const service = await agent("a", {
      closeBroker: false,
      messaging: { subscribes: [{ channel: "x", handler: "onX" }] },
      handlers: { onX: (message: { payload: unknown }) => void got.push(message.payload) },
    });

    await service.stop();
    await other.publish("x", "meanwhile");
    await service.start();

    await expect.poll(() => got).toEqual(["meanwhile"]);
    expect(service.listSubscriptions().map(({ group }) => group)).toEqual(["a"]);
  });

  it("keeps its middleware and its figures", async () => {
    await using service = new MessagingService({ agentId: "a" });
    const calls: string[] = [];
    service.use((message, _context, next) => {
      calls.push(message.channel);
      return next();
    });
    for (let n = 0; n < 2; n++) {
      await service.start();
      await service.subscribe("x", () => {});
      await service.publish("x", n);
      await expect.poll(() => calls).toHaveLength(n + 1);
      await service.stop();
    }

    expect(service.getMetrics()).toMatchObject({ published: 2, handled: 2 });
  });
});

describe("a start that fails", () => {
  it("rejects with what opening rejects with, and can be tried again", async () => {
    const broker = new MemoryBroker();
    vi.spyOn(broker, "open").mockRejectedValueOnce(new HeraldError("NOT_CONNECTED", "No broker."));
    await using service = new MessagingService({ agentId: "a", broker });

    await expect(service.start()).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    expect(service.isRunning).toBe(false);
    await service.start();

    await expect(service.publish("x", 1)).resolves.toEqual(expect.any(String));
  });

  it("half-way through its manifest leaves nothing subscribed, and can be mended by what was missing", async () => {
    const { agent, broker } = world();
    await agent("keeps-it-open");
    const handlers: Record<string, () => void> = { onX: () => {} };
    const service = new MessagingService({
      agentId: "a",
      broker,
      messaging: {
        subscribes: ["x", "y"].map((channel) => ({ channel, handler: `on${channel.toUpperCase()}` })),
      },
      handlers,
    });

    await expect(service.start()).rejects.toMatchObject({
      code: "INVALID_MANIFEST",
      details: { handler: "onY" },
    });
    expect(service.listSubscriptions()).toEqual([]);
    handlers["onY"] = () => {};
    await service.start();

    expect(service.listSubscriptions().map(({ channel }) => channel)).toEqual(["x", "y"]);
    await service.stop();
  });

  it("is one where a handler's name is only what every object has", async () => {
    const messaging = { commands: [{ name: "toString" }] };
    const service = new MessagingService({ agentId: "a", messaging, handlers: {} });

    await expect(service.start()).rejects.toMatchObject({
      code: "INVALID_MANIFEST",
      details: { handler: "toString" },
    });
  });

  it("is no failure of a stop that comes while it runs", async () => {
    const service = new MessagingService({
      agentId: "a",
      messaging: { subscribes: [{ channel: "unbound" }, { channel: "x", handler: "onX" }] },
      handlers: {},
    });

    const starting = service.start().catch((error: HeraldError) => error.message);

    expect(await service.stop()).toBe(0);
    expect(await starting).toMatch(/give or export one of that name; there are: none\.$/);
    expect(service.isRunning).toBe(false);
  });

  it("that succeeds is over for a stop that comes while it runs", async () => {
    const broker = new MemoryBroker();
    const opening = Promise.withResolvers<void>();
    const open = broker.open.bind(broker);
    vi.spyOn(broker, "open").mockImplementation(() => opening.promise.then(open));
    const service = new MessagingService({ agentId: "a", broker });

    const starting = service.start();
    const stopping = service.stop();
    opening.resolve();

    expect(await stopping).toBe(0);
    await starting;
    expect([service.isRunning, broker.isClosed]).toEqual([false, true]);
  });
});

describe("a stop", () => {
  it("lets handlers finish within the grace period, aborts the rest and says how many; their messages go back uncounted", async () => {
    const { agent, clock, time } = world();
    const service = await agent("a", { closeBroker: false });
    const reasons: unknown[] = [];
    const finish = Promise.withResolvers<void>();
    await service.subscribe("x", (message, { signal }) => {
      signal.addEventListener("abort", () => reasons.push((signal.reason as HeraldError).code));
      return message.payload === "quick" ? finish.promise : new Promise(() => {});
    });
    for (const payload of ["quick", "slow"]) await service.publish("x", payload);
    await expect.poll(() => service.getMetrics().delivered).toBe(2);

    const stopping = service.stop({ gracePeriodMs: 500 });
    finish.resolve();
    await clock.advanceAsync(499);
    expect(reasons).toEqual([]);

    expect(await time.drive(stopping)).toBe(1);
    expect(reasons).toEqual(["CANCELLED"]);
    await service.start();
    const again: unknown[] = [];
    await service.subscribe("x", (message, context) => void again.push([message.payload, context.attempt]));
    await expect.poll(() => again).toEqual([["slow", 1]]);
  });

  it("before a start, and at the end of a block that uses the service, is no error", async () => {
    const broker = new MemoryBroker();
    {
      await using service = new MessagingService({ agentId: "a", broker, agentName: "The first" });
      expect(await service.stop()).toBe(0);
      await service.start();
      expect([service.agentId, service.agentName, service.isRunning]).toEqual(["a", "The first", true]);
    }

    expect(broker.isClosed).toBe(true);
  });
});
