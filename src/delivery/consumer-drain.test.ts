import { describe, expect, it } from "vitest";
import { bench, deliveries, delivery, eventsOf } from "../../test/support/consuming.ts";
import { HeraldError, type HeraldError as Failure } from "../core/errors.ts";
import type { HandlerContext } from "../core/middleware.ts";
import type { Inbox } from "../core/store.ts";
import { settlePromises } from "../testing/fake-clock.ts";

const forever = (): Promise<never> => new Promise(() => {});

describe("a drain", () => {
  it("gives back at once what was not started, uncounted", async () => {
    const run = Promise.withResolvers<void>();
    const { subscription, consumer } = bench(() => run.promise, { consumer: { concurrency: 2 } });
    subscription.give(...["a", "b", "c", "d"].map((id) => delivery({ id }, { attempt: 2 })));
    await settlePromises();

    const draining = consumer.drain(10_000);
    await settlePromises();
    expect(subscription.settled.map(({ kind, delivery: { envelope } }) => [kind, envelope.id])).toEqual([
      ["release", "c"],
      ["release", "d"],
    ]);
    expect(subscription.settled).toMatchObject([{ delayMs: 0 }, { delayMs: 0 }]);

    run.resolve();
    expect(await draining).toBe(0);
    expect(subscription.outcomes.slice(2)).toEqual(["ack a", "ack b"]);
  });

  it("starts nothing any more", async () => {
    const started: string[] = [];
    const runs = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { subscription, consumer } = bench(
      ({ id }) => {
        started.push(id);
        return runs[started.length - 1]?.promise;
      },
      { consumer: { concurrency: 1 } },
    );
    subscription.give(delivery({ id: "a" }), delivery({ id: "b" }));
    await settlePromises();

    const draining = consumer.drain(1000);
    runs[0]?.resolve();
    await draining;

    expect(started).toEqual(["a"]);
    expect(subscription.outcomes.toSorted()).toEqual(["ack a", "release b"]);
  });

  it("waits for running handlers within the grace period, then aborts them and gives their messages back", async () => {
    let context: HandlerContext | undefined;
    const { clock, subscription, consumer, metrics } = bench((_message, given) => {
      context = given;
      return forever();
    });
    subscription.give(delivery({ id: "a" }), delivery({ id: "b" }));
    await settlePromises();

    const draining = consumer.drain(1000);
    await clock.advanceAsync(999);
    expect(subscription.settled).toEqual([]);
    expect(context?.signal.aborted).toBe(false);
    await clock.advanceAsync(1);

    expect(await draining).toBe(2);
    expect(context?.signal.reason).toMatchObject({ code: "CANCELLED" });
    expect(subscription.outcomes).toEqual(["release a", "release b"]);
    expect(metrics.group("c", "g")).toMatchObject({ failed: 0, snoozed: 2 });
    expect(consumer.active).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("ignores what an aborted handler comes to later", async () => {
    const run = Promise.withResolvers<void>();
    const { clock, subscription, consumer, metrics } = bench(() => run.promise);
    subscription.give(delivery({ id: "a" }));
    await settlePromises();
    const draining = consumer.drain(10);
    await clock.advanceAsync(10);
    await draining;

    run.resolve();
    await settlePromises();

    expect(subscription.outcomes).toEqual(["release a"]);
    expect(metrics.group("c", "g").handled).toBe(0);
  });

  it("waits until a dead letter is written and its message is settled", async () => {
    const written = Promise.withResolvers<void>();
    const { subscription, consumer } = bench(() => Promise.reject(new HeraldError("REJECTED", "Never.")), {
      settler: { publish: () => written.promise },
    });
    subscription.give(delivery({ id: "a" }));
    await settlePromises();

    let drained = false;
    const draining = consumer.drain(1000).then(() => (drained = true));
    await settlePromises();
    expect(drained).toBe(false);
    written.resolve();
    await draining;

    expect(subscription.outcomes).toEqual(["ack a"]);
  });

  it("waits until the settlements have reached the broker", async () => {
    const reached = Promise.withResolvers<void>();
    const { subscription, consumer } = bench(() => {});
    subscription.onSettle = () => reached.promise;
    subscription.give(delivery());
    await settlePromises();

    let drained = false;
    const draining = consumer.drain(1000).then(() => (drained = true));
    await settlePromises();
    expect(drained).toBe(false);
    reached.resolve();
    await draining;
  });

  it("wakes a consumer that waits for room", async () => {
    const run = Promise.withResolvers<void>();
    const { subscription, consumer } = bench(() => run.promise, { consumer: { prefetch: 1 } });
    subscription.give(delivery());
    await settlePromises();

    const draining = consumer.drain(1000);
    run.resolve();

    expect(await draining).toBe(0);
  });

  it("wakes a consumer that pauses after a failure", async () => {
    const { clock, subscription, consumer } = bench(() => {});
    await settlePromises();
    subscription.failures.push(new HeraldError("NOT_CONNECTED", "The broker is away."));
    subscription.give(delivery());
    await settlePromises();

    expect(await consumer.drain(1000)).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("of a consumer that was never asked to do anything ends at once, and a second one too", async () => {
    const { subscription, consumer } = bench(() => {});

    expect(await consumer.drain(1000)).toBe(0);
    expect(await consumer.drain(1000)).toBe(0);
    expect(subscription.closed).toBe(true);
  });

  it("goes on when the broker cannot close the subscription, and tells of it", async () => {
    const faults = eventsOf<{ where: string }>("fault");
    const { clock, subscription, consumer } = bench(forever, { consumer: { concurrency: 1 } });
    subscription.give(delivery({ id: "a" }), delivery({ id: "b" }));
    await settlePromises();
    subscription.onClose = () => Promise.reject(new HeraldError("NOT_CONNECTED", "The broker is away."));

    const draining = consumer.drain(0);
    await clock.advanceAsync(0);

    expect(await draining).toBe(1);

    expect(subscription.outcomes).toEqual(["release b", "release a"]);
    expect(faults.map(({ where }) => where)).toEqual(["close"]);
  });

  it("ends although the broker answers nothing any more, five seconds for each answer", async () => {
    const { clock, subscription, consumer } = bench(() => {});
    await settlePromises();
    subscription.onClose = forever;
    subscription.onSettle = forever;
    subscription.give(delivery());
    await settlePromises();

    let drained = false;
    const draining = consumer.drain(1000).then(() => (drained = true));
    await clock.advanceAsync(9999);
    expect(drained).toBe(false);
    await clock.advanceAsync(1);

    await draining;
  });

  it("gives back what a slow receive brings in afterwards", async () => {
    const { clock, subscription, consumer } = bench(() => {});
    await settlePromises();
    const receive = Promise.withResolvers<ReturnType<typeof deliveries>>();
    subscription.receive = () => receive.promise;
    subscription.give(delivery({ id: "first" }));
    await settlePromises();

    const draining = consumer.drain(100);
    await clock.advanceAsync(5000);
    await draining;
    receive.resolve([delivery({ id: "late" })]);
    await settlePromises();

    expect(subscription.outcomes).toEqual(["ack first", "release late"]);
  });
});

describe("a handler whose time is up", () => {
  const limited = { consumer: { handlerTimeoutMs: 1000, concurrency: 1 } };

  it("fails with HANDLER_TIMEOUT, sees its signal fire, and frees its slot", async () => {
    let signal: AbortSignal | undefined;
    const started: string[] = [];
    const { clock, subscription, metrics } = bench(({ id }, context) => {
      started.push(id);
      if (id !== "slow") return undefined;
      ({ signal } = context);
      return forever();
    }, limited);
    subscription.give(delivery({ id: "slow" }), delivery({ id: "next" }));
    await settlePromises();
    expect(started).toEqual(["slow"]);

    await clock.advanceAsync(999);
    expect(started).toEqual(["slow"]);
    await clock.advanceAsync(1);

    expect(started).toEqual(["slow", "next"]);
    expect(signal?.reason).toMatchObject({ code: "HANDLER_TIMEOUT", details: { timeoutMs: 1000 } });
    expect(subscription.settled).toMatchObject([
      { kind: "nack", delayMs: 1000, failure: { code: "HANDLER_TIMEOUT" } },
      { kind: "ack" },
    ]);
    expect(metrics.group("c", "g")).toMatchObject({ delivered: 2, failed: 1, retried: 1, handled: 1 });
  });

  it("is not settled again when its handler ends late, well or badly", async () => {
    const runs: PromiseWithResolvers<void>[] = [];
    const { clock, subscription, metrics } = bench(() => {
      const run = Promise.withResolvers<void>();
      runs.push(run);
      return run.promise;
    }, limited);
    subscription.give(delivery({ id: "a" }), delivery({ id: "b" }));
    await clock.advanceAsync(2000);
    expect(subscription.outcomes).toEqual(["nack a", "nack b"]);

    runs[0]?.resolve();
    runs[1]?.reject(new Error("late"));
    await settlePromises();

    expect(subscription.outcomes).toEqual(["nack a", "nack b"]);
    expect(metrics.group("c", "g")).toMatchObject({ handled: 0, failed: 2 });
  });

  it("sees an aborted signal even when it looks for the first time afterwards", async () => {
    let context: HandlerContext | undefined;
    const { clock, subscription } = bench((_message, given) => {
      context = given;
      return forever();
    }, limited);
    subscription.give(delivery());
    await clock.advanceAsync(1000);

    expect(context?.signal.aborted).toBe(true);
    expect(context?.signal.reason).toMatchObject({ code: "HANDLER_TIMEOUT" });
  });

  it("is cut at its own limit, whoever began during the cut of another", async () => {
    const { clock, subscription } = bench(forever, { consumer: { handlerTimeoutMs: 1000, concurrency: 2 } });
    subscription.give(delivery({ id: "a" }));
    await clock.advanceAsync(500);
    subscription.give(delivery({ id: "b" }), delivery({ id: "c" }));
    await clock.advanceAsync(500);
    expect(subscription.outcomes).toEqual(["nack a"]);

    await clock.advanceAsync(500);
    expect(subscription.outcomes).toEqual(["nack a", "nack b"]);

    await clock.advanceAsync(500);
    expect(subscription.outcomes).toEqual(["nack a", "nack b", "nack c"]);
  });

  it("costs one timer, however many came before it", async () => {
    const { clock, subscription } = bench(forever, { consumer: { handlerTimeoutMs: 1000, concurrency: 3 } });
    subscription.give(...deliveries(300));
    let most = 0;
    for (let step = 0; step < 50; step++) {
      await clock.advanceAsync(1000);
      most = Math.max(most, clock.pending);
    }

    expect(subscription.settled.length).toBe(150);
    expect(most).toBe(1);
  });

  it("is not started any more when its time ran out before", async () => {
    const checked = Promise.withResolvers<void>();
    let started = 0;
    const { clock, subscription } = bench(() => void started++, {
      ...limited,
      handling: { validate: () => checked.promise },
    });
    subscription.give(delivery({ id: "a" }));
    await clock.advanceAsync(1000);
    expect(subscription.outcomes).toEqual(["nack a"]);

    checked.resolve();
    await settlePromises();

    expect(started).toBe(0);
    expect(subscription.outcomes).toEqual(["nack a"]);
  });

  it("is told as a fault when the inbox cannot take the claim back", async () => {
    const faults = eventsOf<{ where: string; error: Failure }>("fault");
    const inbox: Inbox = {
      claim: () => "new",
      commit: () => {},
      abandon: () => Promise.reject(new HeraldError("NOT_CONNECTED", "The inbox is away.")),
    };
    const { clock, subscription } = bench(forever, { ...limited, handling: { inbox } });
    subscription.give(delivery({ id: "a" }));
    await clock.advanceAsync(1000);

    expect(faults.map(({ where, error }) => [where, error.code])).toEqual([["inbox", "NOT_CONNECTED"]]);
    expect(subscription.outcomes).toEqual(["nack a"]);
  });
});

describe("leases", () => {
  it("are extended at a third, all in one call, until the handler ends", async () => {
    const run = Promise.withResolvers<void>();
    const { clock, subscription } = bench(() => run.promise, { consumer: { concurrency: 1 } });
    const calls: string[][] = [];
    subscription.onSettle = (settlements) =>
      Promise.resolve(void calls.push(settlements.map(({ kind }) => kind)));
    subscription.give(...deliveries(2, { leaseMs: 3000 }));

    await clock.advanceAsync(999);
    expect(calls).toEqual([]);
    await clock.advanceAsync(1);
    expect(calls).toEqual([["extend", "extend"]]);
    expect(subscription.settled[0]).toMatchObject({ kind: "extend", leaseMs: 3000 });
    await clock.advanceAsync(1000);
    expect(calls).toHaveLength(2);

    run.resolve();
    await settlePromises();
    await clock.advanceAsync(10_000);
    expect(calls.slice(2).flat()).toEqual(["ack", "ack"]);
    expect(clock.pending).toBe(0);
  });

  it("of different lengths are each extended in time", async () => {
    const { clock, subscription } = bench(forever);
    const extended = new Map<string, number[]>();
    subscription.onSettle = (settlements) => {
      for (const { delivery: one } of settlements) {
        extended.set(one.envelope.id, [...(extended.get(one.envelope.id) ?? []), clock.monotonic()]);
      }
      return Promise.resolve();
    };
    subscription.give(delivery({ id: "long" }, { leaseMs: 30_000 }));
    await settlePromises();
    subscription.give(delivery({ id: "short" }, { leaseMs: 3000 }));
    await clock.advanceAsync(9000);

    const at = [0, ...(extended.get("short") ?? [])];
    const gaps = at.slice(1).map((moment, index) => moment - (at[index] as number));
    expect(gaps.length).toBeGreaterThan(5);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(1000);
  });

  it("go on when one extension fails", async () => {
    const faults = eventsOf<{ where: string }>("fault");
    const { clock, subscription } = bench(forever);
    subscription.onSettle = () => Promise.reject(new HeraldError("NOT_CONNECTED", "The broker is away."));
    subscription.give(delivery({}, { leaseMs: 3000 }));
    await clock.advanceAsync(2000);

    expect(subscription.settled.map(({ kind }) => kind)).toEqual(["extend", "extend"]);
    expect(faults.map(({ where }) => where)).toEqual(["settle", "settle"]);
  });

  it("of nothing cost no timer where the broker has none", async () => {
    const { clock, subscription } = bench(forever);
    subscription.give(...deliveries(5));
    await settlePromises();

    expect(clock.pending).toBe(0);
  });
});
