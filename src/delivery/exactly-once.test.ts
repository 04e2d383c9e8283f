import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import { bench, delivery, eventsOf } from "../../test/support/consuming.ts";
import { SlowInbox } from "../../test/support/slow-inbox.ts";
import { HeraldError, RejectError } from "../core/errors.ts";
import { MemoryInbox } from "../stores/memory-inbox.ts";
import { FakeClock, settlePromises } from "../testing/fake-clock.ts";
import { currentDelivery } from "./context.ts";

const exactlyOnce = { defaultDeliveryGuarantee: "exactly-once" } as const;

describe("an id that was handled", () => {
  it("is acknowledged without running the handler again, and counted", async () => {
    let runs = 0;
    const inbox = new MemoryInbox({ clock: new FakeClock() });
    const { subscription, metrics } = bench(() => void runs++, { handling: { inbox } });
    subscription.give(delivery({ id: "m" }));
    await settlePromises();
    subscription.give(delivery({ id: "m" }, { attempt: 2 }));
    await settlePromises();

    expect(runs).toBe(1);
    expect(subscription.outcomes).toEqual(["ack m", "ack m"]);
    expect(metrics.group("c", "g")).toMatchObject({ delivered: 1, handled: 1, duplicates: 1 });
  });

  it("is handled once by each group, and by each broadcast subscription", async () => {
    const { time, agent } = world();
    const a = await agent("a", exactlyOnce);
    const seen: string[] = [];
    await a.subscribe("c", () => void seen.push("own"));
    await a.subscribe("c", () => void seen.push("second"));
    await a.subscribe("c", () => void seen.push("group"), { group: "other" });
    await a.subscribe("c", () => void seen.push("broadcast one"), { group: null });
    await a.subscribe("c", () => void seen.push("broadcast two"), { group: null });
    await a.publish("c", 1);
    await time.elapse(1000);

    expect(seen.toSorted()).toEqual(["broadcast one", "broadcast two", "group", "own", "second"]);
    expect(a.getMetrics().duplicates).toBe(0);
  });

  it("is published anew by two broadcast handlers that both publish", async () => {
    const { time, agent } = world();
    const a = await agent("a", exactlyOnce);
    const seen: unknown[] = [];
    await a.subscribe("out", ({ payload }) => void seen.push(payload));
    await a.subscribe("c", () => a.publish("out", "one"), { group: null });
    await a.subscribe("c", () => a.publish("out", "two"), { group: null });
    await a.publish("c", 1);
    await time.elapse(1000);

    expect(seen.toSorted()).toEqual(["one", "two"]);
  });

  it("is recognised when its publisher sends it again after an unknown outcome", async () => {
    const { time, agent } = world();
    const a = await agent("a", exactlyOnce);
    let runs = 0;
    await a.subscribe("c", () => void runs++);
    await a.publish("c", 1, { id: "m" });
    await a.publish("c", 1, { id: "m" });
    await a.publish("c", 1, { id: "m", dedupe: false });
    await time.elapse(1000);

    expect(runs).toBe(1);
    expect(a.getMetrics().duplicates).toBe(2);
  });
});

describe("two deliveries of one id at the same time", () => {
  it("run the handler once: the other comes back in 50 ms and finds it done", async () => {
    const run = Promise.withResolvers<void>();
    let runs = 0;
    const inbox = new MemoryInbox({ clock: new FakeClock() });
    const { subscription } = bench(() => (runs++, run.promise), { handling: { inbox } });
    subscription.give(delivery({ id: "m" }), delivery({ id: "m" }));
    await settlePromises();
    expect(subscription.settled).toMatchObject([{ kind: "release", delayMs: 50 }]);

    run.resolve();
    await settlePromises();
    subscription.give(delivery({ id: "m" }));
    await settlePromises();

    expect(runs).toBe(1);
    expect(subscription.outcomes).toEqual(["release m", "ack m", "ack m"]);
  });
});

describe("what a handler publishes", () => {
  it("leaves only after it has succeeded, in its order", async () => {
    const { time, agent } = world();
    const a = await agent("a", exactlyOnce);
    const run = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    await a.subscribe("out", ({ payload }) => void seen.push(payload));
    await a.subscribe("c", async () => {
      await a.publish("out", 1);
      await a.publish("out", 2);
      await run.promise;
    });
    await a.publish("c", 0);
    await time.elapse(100);
    expect(seen).toEqual([]);

    run.resolve();
    await time.elapse(0);
    expect(seen).toEqual([1, 2]);
  });

  it("does not leave at all when it fails, rejects or gives the message back", async () => {
    const { time, agent } = world();
    const a = await agent("a", { ...exactlyOnce, retry: { maxAttempts: 2 } });
    const seen: unknown[] = [];
    await a.subscribe("out", ({ payload }) => void seen.push(payload));
    await a.subscribe("c", async ({ payload }, context) => {
      await a.publish("out", payload);
      if (payload === "fail") throw new Error("no");
      if (payload === "reject") throw new RejectError("never");
      if (payload === "nack") context.nack({ delayMs: 10 });
    });
    for (const payload of ["fail", "reject", "nack", "good"]) await a.publish("c", payload);
    await time.elapse(60_000);

    expect(seen).toEqual(["good"]);
    expect(a.getMetrics()).toMatchObject({ deadLettered: 3, handled: 2 });
  });

  it("has the same ids when the handler runs again", async () => {
    const { time, agent } = world();
    const a = await agent("a", exactlyOnce);
    const runs: string[][] = [];
    await a.subscribe("c", async () => {
      runs.push([await a.publish("out", 1), await a.publish("out", 2)]);
      if (runs.length < 3) throw new Error("no");
    });
    await a.publish("c", 0);
    await time.elapse(10_000);

    expect(runs).toHaveLength(3);
    expect(new Set(runs.flat()).size).toBe(2);
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
  });

  it("and left before the inbox could be written leaves once, though the handler runs again", async () => {
    const clock = new FakeClock();
    const inbox = new MemoryInbox({ clock });
    const commit = inbox.commit.bind(inbox);
    let broken = true;
    inbox.commit = (group, id) => {
      if (broken) throw new HeraldError("NOT_CONNECTED", "The inbox is away.");
      commit(group, id);
    };
    const { time, agent } = world();
    const a = await agent("a", { ...exactlyOnce, inbox });
    const seen: unknown[] = [];
    let runs = 0;
    await a.subscribe("out", ({ payload }) => void seen.push(payload), { guarantee: "at-least-once" });
    await a.subscribe("c", () => {
      runs++;
      return a.publish("out", "effect");
    });
    await a.publish("c", 0);
    await time.elapse(500);
    expect([runs, seen]).toEqual([1, ["effect"]]);

    broken = false;
    await time.elapse(10_000);
    expect([runs, seen]).toEqual([2, ["effect"]]);
  });

  it("by something that it left running goes out by itself afterwards", async () => {
    const { time, agent } = world();
    const a = await agent("a", exactlyOnce);
    const later = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    await a.subscribe("out", ({ payload, metadata }) => void seen.push([payload, metadata.causationId]));
    await a.subscribe("c", () => void later.promise.then(() => a.publish("out", "late")));
    await a.publish("c", 0, { id: "m" });
    await time.elapse(100);

    later.resolve();
    await time.elapse(100);
    expect(seen).toEqual([["late", "m"]]);
  });

  it("by something that it left running while its effects are on their way goes out too", async () => {
    const { time, broker, agent } = world();
    const a = await agent("a", exactlyOnce);
    const seen: unknown[] = [];
    let publishLate: () => Promise<unknown> = () => Promise.resolve();
    const publish = broker.publish.bind(broker);
    const leaving = Promise.withResolvers<void>();
    broker.publish = async (envelopes, options) => {
      if (envelopes[0]?.channel === "out" && seen.length === 0) await leaving.promise;
      return publish(envelopes, options);
    };
    await a.subscribe("out", ({ payload }) => void seen.push(payload));
    await a.subscribe("c", async () => {
      await a.publish("out", "effect");
      const here = AsyncLocalStorage.snapshot();
      publishLate = () => here(() => a.publish("out", "late"));
    });
    await a.publish("c", 0);
    await time.elapse(10);
    void publishLate();
    leaving.resolve();
    await time.elapse(10);

    expect(seen.toSorted()).toEqual(["effect", "late"]);
  });

  it("and the broker does not take is a failure of the handler", async () => {
    const inbox = new MemoryInbox({ clock: new FakeClock() });
    const { subscription } = bench(
      () => void currentDelivery.getStore()?.outbox?.envelopes.push(delivery().envelope),
      { handling: { inbox, publishAll: () => Promise.reject(new HeraldError("OVERLOADED", "Full.")) } },
    );
    subscription.give(delivery({ id: "m" }));
    await settlePromises();

    expect(subscription.settled).toMatchObject([{ kind: "nack", failure: { code: "OVERLOADED" } }]);
    expect(inbox.claim("g", "m")).toBe("new");
  });
});

describe("a handler whose time ran out", () => {
  const limited = { consumer: { handlerTimeoutMs: 1000 } };

  it("publishes nothing and records nothing when it ends late", async () => {
    const run = Promise.withResolvers<void>();
    const published: unknown[] = [];
    const inbox = new MemoryInbox({ clock: new FakeClock() });
    const { clock, subscription } = bench(
      () => {
        currentDelivery.getStore()?.outbox?.envelopes.push(delivery().envelope);
        return run.promise;
      },
      { ...limited, handling: { inbox, publishAll: (all) => Promise.resolve(void published.push(...all)) } },
    );
    subscription.give(delivery({ id: "m" }));
    await clock.advanceAsync(1000);
    run.resolve();
    await settlePromises();

    expect(published).toEqual([]);
    expect(subscription.outcomes).toEqual(["nack m"]);
    expect(inbox.claim("g", "m")).toBe("new");
  });

  it("leaves the id to the delivery that took over, also when it ends while that one runs", async () => {
    const runs: PromiseWithResolvers<void>[] = [];
    const inbox = new MemoryInbox({ clock: new FakeClock() });
    const { clock, subscription } = bench(
      () => {
        const run = Promise.withResolvers<void>();
        runs.push(run);
        return run.promise;
      },
      { ...limited, handling: { inbox } },
    );
    subscription.give(delivery({ id: "m" }));
    await clock.advanceAsync(1000);
    subscription.give(delivery({ id: "m" }, { attempt: 2 }));
    await settlePromises();
    expect(runs).toHaveLength(2);

    runs[0]?.reject(new Error("late"));
    await settlePromises();
    expect(inbox.claim("g", "m")).toBe("busy");
    runs[1]?.resolve();
    await settlePromises();

    expect(subscription.outcomes).toEqual(["nack m", "ack m"]);
    expect(inbox.claim("g", "m")).toBe("done");
  });

  it("while its id was being claimed gives the claim back and does not start", async () => {
    let runs = 0;
    const faults = eventsOf<{ where: string; error: HeraldError }>("fault");
    const inbox = new SlowInbox();
    const { clock, subscription } = bench(() => void runs++, { ...limited, handling: { inbox } });
    subscription.give(delivery({ id: "m" }));
    await clock.advanceAsync(1000);
    inbox.claims[0]?.resolve("new");
    await settlePromises();

    expect(runs).toBe(0);
    expect(inbox.told).toEqual(["claim g m", "abandon g m"]);
    // Its handler was not to blame.
    expect(subscription.settled).toMatchObject([{ kind: "release", delayMs: 50 }]);
    expect(faults).toMatchObject([{ where: "inbox", error: { code: "HANDLER_TIMEOUT" } }]);
  });

  it("while the inbox was being written keeps its claim: its effects are made", async () => {
    const inbox = new SlowInbox();
    const { clock, subscription } = bench(() => {}, { ...limited, handling: { inbox } });
    subscription.give(delivery({ id: "m" }));
    await settlePromises();
    inbox.claims[0]?.resolve("new");
    await clock.advanceAsync(1000);
    inbox.commits[0]?.resolve();
    await settlePromises();

    expect(inbox.told).toEqual(["claim g m", "commit g m"]);
    expect(subscription.outcomes).toEqual(["nack m"]);
  });

  it("comes back uncounted when the inbox does not answer the claim: its handler has not started", async () => {
    let runs = 0;
    const faults = eventsOf<{ where: string; agent: string; error: HeraldError }>("fault");
    const inbox = new SlowInbox();
    const { subscription } = bench(() => void runs++, { handling: { inbox } });
    subscription.give(delivery({ id: "m" }));
    await settlePromises();
    inbox.claims[0]?.reject(new HeraldError("NOT_CONNECTED", "The inbox is away."));
    await settlePromises();

    expect(runs).toBe(0);
    expect(inbox.told).toEqual(["claim g m"]);
    expect(subscription.settled).toMatchObject([{ kind: "release", delayMs: 50 }]);
    expect(faults).toMatchObject([{ where: "inbox", agent: "a", error: { code: "NOT_CONNECTED" } }]);
  });

  it("is a failed attempt when the inbox refuses the claim for good", async () => {
    const inbox = new SlowInbox();
    const { subscription } = bench(() => {}, { handling: { inbox } });
    subscription.give(delivery({ id: "m" }));
    await settlePromises();
    inbox.claims[0]?.reject(new TypeError("broken inbox"));
    await settlePromises();

    expect(subscription.outcomes).toEqual(["nack m"]);
  });

  it("keeps nothing when writing the inbox fails", async () => {
    const inbox = new SlowInbox();
    const { subscription } = bench(() => {}, { handling: { inbox } });
    subscription.give(delivery({ id: "m" }));
    await settlePromises();
    inbox.claims[0]?.resolve("new");
    await settlePromises();
    inbox.commits[0]?.reject(new HeraldError("NOT_CONNECTED", "The inbox is away."));
    await settlePromises();

    expect(inbox.told).toEqual(["claim g m", "commit g m", "abandon g m"]);
    expect(subscription.outcomes).toEqual(["nack m"]);
  });
});

describe("a service that stops", () => {
  it("takes back the claim of a handler that it aborts", async () => {
    const inbox = new MemoryInbox({ clock: new FakeClock() });
    const { clock, subscription, consumer } = bench(() => new Promise(() => {}), { handling: { inbox } });
    subscription.give(delivery({ id: "m" }));
    await settlePromises();
    const draining = consumer.drain(10);
    await clock.advanceAsync(10);
    await draining;

    expect(subscription.outcomes).toEqual(["release m"]);
    expect(inbox.claim("g", "m")).toBe("new");
  });
});
