import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { HeraldError } from "../core/errors.ts";
import type { Handler } from "../core/middleware.ts";
import { world } from "../../test/support/agents.ts";
import type { SubscribeOptions } from "./options.ts";

/** A handler that keeps the payloads it gets. */
function keeping(): { readonly got: unknown[]; readonly handler: Handler } {
  const got: unknown[] = [];
  return { got, handler: (message) => void got.push(message.payload) };
}

describe("a group", () => {
  it("is the agent's id unless said otherwise: replicas share, another agent gets its own copies", async () => {
    const { agent } = world();
    const [one, two, other] = [await agent("a"), await agent("a"), await agent("b")];
    const [shared, own] = [keeping(), keeping()];
    for (const replica of [one, two]) await replica.subscribe("x", shared.handler);
    const { group } = await other.subscribe("x", own.handler);

    for (let n = 0; n < 6; n++) await one.publish("x", n);

    await expect.poll(() => own.got).toEqual([0, 1, 2, 3, 4, 5]);
    await expect.poll(() => shared.got.toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(group).toBe("b");
  });

  it("named by two agents is shared by them", async () => {
    const { agent } = world();
    const [a, b] = [await agent("a"), await agent("b")];
    const { got, handler } = keeping();
    for (const service of [a, b]) await service.subscribe("x", handler, { group: "workers" });

    for (let n = 0; n < 4; n++) await a.publish("x", n);

    await expect.poll(() => got.toSorted()).toEqual([0, 1, 2, 3]);
    expect((await a.getConsumerLag({ channel: "x" })).map(({ group }) => group)).toEqual(["workers"]);
  });

  it("of null gives every instance every message, and keeps nothing for one that is away", async () => {
    const { agent } = world();
    const [one, two] = [await agent("a"), await agent("a")];
    const [first, second] = [keeping(), keeping()];
    await one.subscribe("x", first.handler, { group: null });
    const leaving = await two.subscribe("x", second.handler, { group: null });

    await one.publish("x", 1);
    await expect.poll(() => second.got).toEqual([1]);
    await leaving.unsubscribe();
    await one.publish("x", 2);
    await two.subscribe("x", second.handler, { group: null });

    await expect.poll(() => first.got).toEqual([1, 2]);
    await one.publish("x", 3);
    await expect.poll(() => second.got).toEqual([1, 3]);
  });

  it("keeps what is published while its agent is away", async () => {
    const { agent } = world();
    const [a, b] = [await agent("a"), await agent("b")];
    const { got, handler } = keeping();
    await (await b.subscribe("x", handler)).unsubscribe();

    await a.publish("x", "while away");
    await b.subscribe("x", handler);

    await expect.poll(() => got).toEqual(["while away"]);
  });

  it("of a second handler of one agent is another, also where the broker has not answered the first yet", async () => {
    const { agent } = world();
    const service = await agent("a");

    const patterns = ["x.y", "x.y", "x.*", "z", "x.*.q", "*.y.#", "x.1.q", "*.2.q", "y.*", "w.#", "w"];
    const groups = ["a", "a:2", "a:3", "a", "a", "a:4", "a:5", "a:6", "a", "a", "a:7"];
    const handles = await Promise.all(patterns.map((pattern) => service.subscribe(pattern, () => {})));

    expect(handles.map(({ group }) => group)).toEqual(groups);
    await handles[9]?.unsubscribe();
    await handles[0]?.unsubscribe();
    for (const free of ["w.1", "x.y"]) expect((await service.subscribe(free, () => {})).group).toBe("a");
  });
});

describe("a subscription's filter", () => {
  it("by fields and by expression lets through what matches; the rest is acknowledged and counted", async () => {
    const { agent } = world();
    const service = await agent("a");
    const [fields, expression] = [keeping(), keeping()];
    await service.subscribe("x", fields.handler, {
      filter: { fields: { severity: "high", score: { $gte: 5 } } },
    });
    await service.subscribe("x", expression.handler, { filter: { expression: "payload.score > 6" } });

    for (const score of [4, 5, 7]) await service.publish("x", { severity: "high", score });
    await service.publish("x", { severity: "low", score: 9 });

    await expect
      .poll(() => fields.got.map((payload) => (payload as { score: number }).score))
      .toEqual([5, 7]);
    await expect
      .poll(() => expression.got.map((payload) => (payload as { score: number }).score))
      .toEqual([7, 9]);
    expect(service.getMetrics()).toMatchObject({ filtered: 4, handled: 4, delivered: 4 });
    expect((await service.getConsumerLag()).map(({ lag }) => lag)).toEqual([0, 0]);
  });

  it("comes from the manifest, with its concurrency, unless the program gives one", async () => {
    const { agent } = world();
    const messaging = { subscribes: [{ channel: "x", filter: { fields: { n: 1 } }, maxConcurrency: 1 }] };
    const service = await agent("a", { messaging });
    const [declared, own] = [keeping(), keeping()];
    let [running, most] = [0, 0];
    await service.subscribe("x", async (message, context) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return declared.handler(message, context);
    });
    await service.subscribe("x", own.handler, { filter: { fields: { n: 2 } } });

    await Promise.all([1, 1, 2].map((n) => service.publish("x", { n })));

    await expect.poll(() => declared.got).toEqual([{ n: 1 }, { n: 1 }]);
    await expect.poll(() => own.got).toEqual([{ n: 2 }]);
    expect(most).toBe(1);
  });

  it("that is none is refused", async () => {
    const { agent } = world();
    const service = await agent("a");

    await expect(service.subscribe("x", () => {}, { filter: { expression: "1 +" } })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    expect(service.listSubscriptions()).toEqual([]);
  });
});

describe("middleware", () => {
  it("wraps what is subscribed after it, the first added outermost", async () => {
    const { agent } = world();
    const service = await agent("a");
    const calls: string[] = [];
    const named = (name: string) => (_message: unknown, _context: unknown, next: () => Promise<unknown>) => {
      calls.push(name);
      return next();
    };
    await service.subscribe("before", () => void calls.push("before"));
    expect(service.use(named("outer")).use(named("inner"))).toBe(service);
    await service.subscribe("after", () => void calls.push("after"));

    await service.publish("before", 1);
    await service.publish("after", 1);

    await expect.poll(() => calls).toEqual(["before", "outer", "inner", "after"]);
  });

  it("that is no function is refused when it is given", async () => {
    const { agent } = world();
    const service = await agent("a");

    expect(() => service.use({} as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field: "middleware" } }),
    );
  });
});

describe("unsubscribing", () => {
  it("goes by id, by handle, and by channel for all of its subscriptions", async () => {
    const { agent } = world();
    const service = await agent("a");
    const [one, two] = [await service.subscribe("one", () => {}), await service.subscribe("two", () => {})];
    for (let n = 0; n < 2; n++) await service.subscribe("three", () => {});
    expect(service.listSubscriptions()).toHaveLength(4);

    await service.unsubscribe(one.id);
    await service.unsubscribe(two);
    await service.unsubscribe("three");

    expect(service.listSubscriptions()).toEqual([]);
    expect([one.signal.aborted, two.signal.aborted]).toEqual([true, true]);
  });

  it("of what is not there is NOT_FOUND, and CLOSED once the service has stopped", async () => {
    const { agent } = world();
    const service = await agent("a");
    const handle = await service.subscribe("x", () => {});
    await handle.unsubscribe();

    for (const which of [handle, handle.id, "x", "y"]) {
      await expect(service.unsubscribe(which)).rejects.toMatchObject({ code: "NOT_FOUND" });
    }
    await service.stop();
    await expect(service.unsubscribe("x")).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("happens at the end of a block that uses the subscription", async () => {
    const { agent } = world();
    const service = await agent("a");
    {
      await using handle = await service.subscribe("x", () => {});
      expect(service.listSubscriptions()).toEqual([handle]);
    }

    expect(service.listSubscriptions()).toEqual([]);
  });

  it("happens when the given signal fires, and leaves no listener on it otherwise", async () => {
    const { agent } = world();
    const service = await agent("a");
    const stop = new AbortController();
    const { signal } = stop;
    const byHand = await service.subscribe("one", () => {}, { signal });
    await service.subscribe("two", () => {}, { signal });
    expect(getEventListeners(signal, "abort")).toHaveLength(2);
    await byHand.unsubscribe();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);

    stop.abort();

    await expect.poll(() => service.listSubscriptions()).toEqual([]);
    await expect(service.subscribe("three", () => {}, { signal })).rejects.toMatchObject({
      code: "CANCELLED",
    });
  });

  it("happens also when the signal fires while the broker is asked: subscribe rejects with CANCELLED", async () => {
    const { agent } = world();
    const service = await agent("a");
    const stop = new AbortController();

    const subscribing = service.subscribe("x", () => {}, { signal: stop.signal });
    stop.abort();

    await expect(subscribing).rejects.toMatchObject({ code: "CANCELLED" });
    expect(service.listSubscriptions()).toEqual([]);
  });

  it("while the broker is asked leaves nothing that consumes", async () => {
    const { agent, broker } = world();
    const service = await agent("a");
    const { got, handler } = keeping();

    const subscribing = service.subscribe("x", handler);
    await Promise.all(service.listSubscriptions().map((handle) => handle.unsubscribe()));
    const handle = await subscribing;
    await service.publish("x", 1);

    expect(handle.signal.aborted).toBe(true);
    await expect
      .poll(async () => (await broker.inspect({ channels: ["x"] })).channels[0]?.groups)
      .toEqual([{ group: "a", lag: 1, unsettled: 0 }]);
    expect(got).toEqual([]);
  });
});

describe("subscribing", () => {
  it("rejects with CLOSED while the service stops, and leaves nothing behind", async () => {
    const { agent } = world();
    const service = await agent("a", { closeBroker: false });
    const [started, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const tried: unknown[] = [];
    await service.subscribe("x", async () => {
      started.resolve();
      await release.promise;
      await service.subscribe("y", () => {}).catch((error: HeraldError) => tried.push(error.code));
    });
    await service.publish("x", 1);
    await started.promise;

    const stopping = service.stop();
    await expect.poll(() => service.listSubscriptions()).toEqual([]);
    release.resolve();
    await stopping;

    expect(tried).toEqual(["CLOSED"]);
    expect(service.listSubscriptions()).toEqual([]);
  });

  it("rejects with the broker's error when the broker refuses, and leaves the group to the next", async () => {
    const { agent, broker } = world();
    const service = await agent("a");
    vi.spyOn(broker, "subscribe").mockRejectedValueOnce(new HeraldError("NOT_CONNECTED", "No broker."));

    await expect(service.subscribe("x", () => {})).rejects.toMatchObject({ code: "NOT_CONNECTED" });

    expect(service.listSubscriptions()).toEqual([]);
    expect((await service.subscribe("x", () => {})).group).toBe("a");
  });

  it.each<[string, object]>([
    ["ack", { ack: "later" }],
    ["ordering", { ordering: "total" }],
    ["from", { from: "yesterday" }],
    ["from", { from: { position: 7 } }],
    ["from", { from: { time: Number.NaN } }],
    ["from", { from: { time: 1, position: "1" } }],
    ["from", { from: null }],
    ["group", { group: "" }],
    ["group", { group: "two words" }],
    ["group", { group: 7 }],
    ["guarantee", { guarantee: "once" }],
    ["maxConcurrency", { maxConcurrency: 0 }],
    ["maxConcurrency", { maxConcurrency: 1.5 }],
    ["prefetch", { prefetch: -1 }],
    ["handlerTimeoutMs", { handlerTimeoutMs: 0 }],
    ["retry.maxAttempts", { retry: { maxAttempts: -1 } }],
    ["retry.backoff.strategy", { retry: { backoff: { strategy: "fibonacci" } } }],
  ])("rejects with INVALID_ARGUMENT naming %s for %o", async (field, options) => {
    const { agent } = world();
    const service = await agent("a");

    await expect(service.subscribe("x", () => {}, options as SubscribeOptions)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field },
      message: expect.stringContaining(field) as string,
    });
    expect(service.listSubscriptions()).toEqual([]);
  });

  it("rejects with INVALID_ARGUMENT without a function, and with INVALID_CHANNEL without a pattern", async () => {
    const { agent } = world();
    const service = await agent("a");

    for (const handler of [undefined, null, "handler", {}]) {
      await expect(service.subscribe("x", handler as never)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        details: { field: "handler" },
      });
    }
    for (const pattern of [undefined, null, 7, {}, "", "a b", "a.#.b", "a..b"]) {
      await expect(service.subscribe(pattern as never, () => {})).rejects.toMatchObject({
        code: "INVALID_CHANNEL",
      });
    }
  });
});
