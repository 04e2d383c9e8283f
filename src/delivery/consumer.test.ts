import { describe, expect, it } from "vitest";
import { bench, deliveries, delivery, eventsOf, type Bench } from "../../test/support/consuming.ts";
import type { Settlement } from "../core/delivery.ts";
import { HeraldError, SnoozeError } from "../core/errors.ts";
import type { HandlerContext } from "../core/middleware.ts";
import { settlePromises } from "../testing/fake-clock.ts";

/** A handler that runs until it is told to end, and what it saw. */
function held() {
  const running: PromiseWithResolvers<void>[] = [];
  const contexts: HandlerContext[] = [];
  let most = 0;
  let active = 0;
  const handler = async (_message: unknown, context: HandlerContext): Promise<void> => {
    most = Math.max(most, ++active);
    contexts.push(context);
    const run = Promise.withResolvers<void>();
    running.push(run);
    try {
      await run.promise;
    } finally {
      active--;
    }
  };
  const end = async (count: number): Promise<void> => {
    for (const run of running.splice(0, count)) run.resolve();
    await settlePromises();
  };
  return { handler, running, contexts, end, most: () => most };
}

describe("a consumer asks", () => {
  it("first for its whole prefetch, then for what has become free", async () => {
    const { handler, end } = held();
    const { subscription, consumer } = bench(handler, { consumer: { prefetch: 4, concurrency: 2 } });
    subscription.give(...deliveries(10));
    await settlePromises();
    expect(subscription.asked).toEqual([4]);

    await end(2);

    expect(subscription.asked).toEqual([4, 2]);
    expect(consumer.active).toBe(2);
  });

  it("for nothing while more than half of its prefetch is held", async () => {
    const { handler, end } = held();
    const { subscription } = bench(handler, { consumer: { prefetch: 4, concurrency: 4 } });
    subscription.give(...deliveries(10));
    await settlePromises();

    await end(1);
    expect(subscription.asked).toEqual([4]);

    await end(1);
    expect(subscription.asked).toEqual([4, 2]);
  });

  it("never holds more than its prefetch, nor runs more than its concurrency", async () => {
    const { handler, end, most } = held();
    const { subscription, consumer } = bench(handler, { consumer: { prefetch: 7, concurrency: 3 } });
    subscription.give(...deliveries(200));
    let worst = 0;
    for (let left = 200; left > 0; left -= 2) {
      await settlePromises();
      worst = Math.max(worst, 200 - subscription.waiting - subscription.settled.length);
      expect(consumer.active).toBeLessThanOrEqual(3);
      await end(2);
    }

    expect(worst).toBeLessThanOrEqual(7);
    expect(most()).toBe(3);
    expect(new Set(subscription.outcomes).size).toBe(200);
    expect(subscription.settled.every(({ kind }) => kind === "ack")).toBe(true);
  });

  it("works with a prefetch of one", async () => {
    const seen: unknown[] = [];
    const { subscription } = bench((message) => void seen.push(message.payload), {
      consumer: { prefetch: 1, concurrency: 1 },
    });

    subscription.give(...deliveries(5));
    await settlePromises();

    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(Math.max(...subscription.asked)).toBe(1);
  });

  it("twice to start is one loop", async () => {
    const { subscription, consumer } = bench(() => {});
    consumer.start();
    await settlePromises();

    expect(subscription.asked).toEqual([100]);
  });
});

describe("a receive that fails", () => {
  const down = () => new HeraldError("NOT_CONNECTED", "The broker is away.");

  it("is told as a fault and asked again after 50, 100, 200 ms, up to 5 s", async () => {
    const faults = eventsOf<{ where: string; error: HeraldError; agent: string }>("fault");
    const { clock, subscription } = bench(() => {});
    subscription.failures.push(...Array.from({ length: 10 }, down));
    subscription.give(delivery());
    await settlePromises();
    const first = subscription.asked.length;

    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      waits.push(clock.nextDueMs ?? 0);
      await clock.advanceAsync(clock.nextDueMs ?? 0);
    }

    // The first one got the delivery.
    expect(first).toBe(2);
    expect(waits).toEqual([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(faults[0]).toMatchObject({ where: "receive", agent: "a", error: { code: "NOT_CONNECTED" } });
  });

  it("recovers, and starts again at 50 ms when it fails later", async () => {
    const { clock, subscription } = bench(() => {});
    await settlePromises();
    subscription.failures.push(down(), down());
    subscription.give(delivery({ id: "one" }));
    await settlePromises();
    await clock.advanceAsync(50);
    await clock.advanceAsync(100);
    subscription.give(delivery({ id: "two" }));
    await settlePromises();
    expect(subscription.outcomes).toEqual(["ack one", "ack two"]);

    subscription.failures.push(down());
    subscription.give(delivery({ id: "three" }));
    await settlePromises();

    expect(clock.nextDueMs).toBe(50);
  });

  it("waits out its pause although handlers end meanwhile", async () => {
    const { handler, end } = held();
    const { clock, subscription } = bench(handler, { consumer: { prefetch: 8, concurrency: 8 } });
    subscription.give(...deliveries(2));
    await settlePromises();
    subscription.failures.push(down());
    subscription.give(delivery());
    await settlePromises();
    const asked = subscription.asked.length;

    await end(3);
    expect(subscription.asked.length).toBe(asked);

    await clock.advanceAsync(50);
    expect(subscription.asked.length).toBe(asked + 1);
  });

  it("ends the consumer when the broker says that it is closed", async () => {
    const { clock, subscription } = bench(() => {});
    await settlePromises();
    subscription.failures.push(new HeraldError("CLOSED", "The broker is closed."));
    subscription.give(delivery());
    await settlePromises();
    const asked = subscription.asked.length;

    await clock.advanceAsync(60_000);

    expect(subscription.asked.length).toBe(asked);
  });

  it("that is an error of another kind is told as one of Herald's", async () => {
    const faults = eventsOf<{ error: HeraldError }>("fault");
    const { subscription } = bench(() => {});
    await settlePromises();
    subscription.failures.push(new TypeError("broken client"));
    subscription.give(delivery());
    await settlePromises();

    expect(faults[0]?.error).toMatchObject({ code: "INTERNAL", message: "broken client" });
  });
});

describe("a receive that answers with nothing at once", () => {
  it("does not keep the event loop from turning", async () => {
    const { clock, subscription } = bench(() => {});
    await settlePromises();

    // As a broker does whose owner closed it under a running service.
    await subscription.close();
    await settlePromises();
    const asked = subscription.asked.length;
    await settlePromises();
    expect(subscription.asked.length).toBe(asked);

    await clock.advanceAsync(100);
    expect(subscription.asked.length).toBeGreaterThan(asked);
    expect(subscription.asked.length).toBeLessThan(asked + 10);
  });
});

describe("settlements", () => {
  it("of one turn go to the broker in one call", async () => {
    const calls: number[] = [];
    const { subscription } = bench(() => {});
    subscription.onSettle = (settlements) => Promise.resolve(void calls.push(settlements.length));
    await settlePromises();

    subscription.give(...deliveries(50));
    await settlePromises();

    expect(calls).toEqual([50]);
  });

  it("that fail are told as a fault and not thrown", async () => {
    const faults = eventsOf<{ where: string; error: HeraldError }>("fault");
    const { subscription } = bench(() => {});
    subscription.onSettle = () => Promise.reject(new HeraldError("NOT_CONNECTED", "The broker is away."));
    subscription.give(delivery());
    await settlePromises();

    expect(faults.map(({ where, error }) => [where, error.code])).toEqual([["settle", "NOT_CONNECTED"]]);
    subscription.give(delivery({ id: "next" }));
    await settlePromises();
    expect(subscription.outcomes).toContain("ack next");
  });

  it("that a broken broker throws at are told as a fault too", async () => {
    const faults = eventsOf<{ where: string; error: HeraldError }>("fault");
    const { subscription } = bench(() => {});
    subscription.onSettle = () => {
      throw new TypeError("broken client");
    };
    subscription.give(delivery());
    await settlePromises();

    expect(faults.map(({ where, error }) => [where, error.code])).toEqual([["settle", "INTERNAL"]]);
  });

  it("of a failed attempt carry the delay and what failed", async () => {
    const { subscription, clock } = bench(() => Promise.reject(new Error("no")));
    subscription.give(delivery({ id: "m" }, { attempt: 2 }));
    await settlePromises();

    expect(subscription.settled).toMatchObject([
      {
        kind: "nack",
        delayMs: 2000,
        failure: { attempt: 2, code: "HANDLER_FAILED", message: "no", at: clock.now() },
      },
    ] satisfies object[]);
  });
});

describe("a consumer's work", () => {
  it("has gone on since the first delivery that it took while it had nothing in hand", async () => {
    const { handler, end } = held();
    const { clock, subscription, consumer } = bench(handler);
    expect(consumer.busySince).toBe(-Infinity);
    await clock.advanceAsync(100);
    subscription.give(delivery());
    await clock.advanceAsync(100);
    subscription.give(delivery());
    await clock.advanceAsync(100);
    expect(consumer.busySince).toBe(100);

    await end(2);
    expect(consumer.busySince).toBe(100);
    subscription.give(delivery());
    await settlePromises();
    expect(consumer.busySince).toBe(300);
  });
});

describe("counting", () => {
  it("counts what was handed out again, and what a handler started on", async () => {
    const { subscription, metrics } = bench(() => {}, {
      handling: { filter: (message) => message.payload !== "unwanted" },
    });
    subscription.give(
      delivery({ payload: 1 }),
      delivery({ payload: 2 }, { attempt: 3 }),
      delivery({ payload: "unwanted" }),
      delivery({ body: new Uint8Array([0xff]) }),
    );
    await settlePromises();

    expect(metrics.group("c", "g")).toMatchObject({ delivered: 2, redelivered: 1, handled: 2, filtered: 1 });
  });
});

describe("at-most-once", () => {
  const once = { consumer: { ackFirst: true, concurrency: 3, prefetch: 100 }, settler: { once: true } };

  it("acknowledges before the handler runs, and not again after it", async () => {
    let settledAtStart: Settlement[] = [];
    const run = Promise.withResolvers<void>();
    const target: Bench = bench(() => {
      settledAtStart = [...target.subscription.settled];
      return run.promise;
    }, once);
    target.subscription.give(delivery({ id: "m" }));
    await settlePromises();
    expect(settledAtStart.map(({ kind }) => kind)).toEqual(["ack"]);

    run.reject(new Error("no"));
    await settlePromises();

    expect(target.subscription.outcomes).toEqual(["ack m"]);
    expect(target.metrics.group("c", "g")).toMatchObject({
      failed: 1,
      discarded: 1,
      retried: 0,
      deadLettered: 0,
    });
  });

  it("acknowledges no more than it can start", async () => {
    const { handler, end } = held();
    const { subscription, consumer } = bench(handler, once);
    subscription.give(...deliveries(10));
    await settlePromises();
    expect(subscription.settled.length).toBe(3);

    const draining = consumer.drain(1000);
    await end(3);
    await draining;

    expect(subscription.settled.length).toBe(3);
    expect(subscription.waiting).toBe(7);
  });

  it("starts no handler for what could not be acknowledged, and gives it back", async () => {
    const faults = eventsOf<{ where: string }>("fault");
    const seen: string[] = [];
    const { clock, subscription } = bench((message) => void seen.push(message.id), once);
    let broken = true;
    subscription.onSettle = ([first]) => {
      if (!broken || first?.kind === "release") return Promise.resolve();
      broken = false;
      return Promise.reject(new HeraldError("NOT_CONNECTED", "The broker is away."));
    };
    subscription.give(delivery({ id: "m" }));
    await settlePromises();

    expect(seen).toEqual([]);
    expect(subscription.outcomes).toEqual(["ack m", "release m"]);
    expect(faults).toHaveLength(1);

    subscription.give(delivery({ id: "n" }));
    await clock.advanceAsync(50);
    expect(seen).toEqual(["n"]);
  });

  it("counts a snoozed message as discarded: it is acknowledged already", async () => {
    const { subscription, metrics } = bench(() => Promise.reject(new SnoozeError(10)), once);
    subscription.give(delivery());
    await settlePromises();

    expect(metrics.group("c", "g")).toMatchObject({ snoozed: 1, discarded: 1 });
  });

  it("extends no lease: what is acknowledged has none", async () => {
    const { handler } = held();
    const { clock, subscription } = bench(handler, once);
    subscription.give(delivery({}, { leaseMs: 3000 }));
    await clock.advanceAsync(10_000);

    expect(subscription.settled.map(({ kind }) => kind)).toEqual(["ack"]);
  });
});
