import { describe, expect, it } from "vitest";
import { bench, delivery } from "../../test/support/consuming.ts";
import { settlePromises } from "../testing/fake-clock.ts";

describe("a pause", () => {
  it("gives back at once what was not started, uncounted; what runs ends as it would", async () => {
    const run = Promise.withResolvers<void>();
    const { subscription, consumer, metrics } = bench(() => run.promise, { consumer: { concurrency: 1 } });
    subscription.give(...["a", "b", "c"].map((id) => delivery({ id })));
    await settlePromises();

    consumer.pause();
    await settlePromises();
    expect(subscription.outcomes).toEqual(["release b", "release c"]);
    run.resolve();
    await settlePromises();

    expect(subscription.outcomes).toEqual(["release b", "release c", "ack a"]);
    expect(metrics.group("c", "g")).toMatchObject({ delivered: 1, handled: 1, failed: 0 });
  });

  it("starts nothing of what comes to the receive that waits already, and asks for no more", async () => {
    const started: string[] = [];
    const { subscription, consumer } = bench(({ id }) => void started.push(id));
    await settlePromises();
    consumer.pause();
    subscription.give(delivery({ id: "a" }));
    await settlePromises();
    expect([started, subscription.outcomes]).toEqual([[], ["release a"]]);
    const asked = subscription.asked.length;
    subscription.give(delivery({ id: "b" }));
    await settlePromises();

    expect([subscription.asked.length, subscription.waiting, started]).toEqual([asked, 1, []]);
  });

  it("ends with resume: what waits is started, also what came meanwhile", async () => {
    const started: string[] = [];
    const { subscription, consumer } = bench(({ id }) => void started.push(id));
    await settlePromises();
    consumer.pause();
    consumer.pause();
    subscription.give(delivery({ id: "a" }));
    await settlePromises();
    subscription.give(delivery({ id: "b" }));

    consumer.resume();
    consumer.resume();
    await settlePromises();

    expect(started).toEqual(["b"]);
    expect(subscription.outcomes).toEqual(["release a", "ack b"]);
  });

  it("while there is no room asks for nothing when there is", async () => {
    const run = Promise.withResolvers<void>();
    const { subscription, consumer } = bench(() => run.promise, {
      consumer: { concurrency: 2, prefetch: 2 },
    });
    subscription.give(...["a", "b"].map((id) => delivery({ id })));
    await settlePromises();
    const asked = subscription.asked.length;
    consumer.pause();
    run.resolve();
    await settlePromises();

    expect(subscription.asked.length).toBe(asked);
    consumer.resume();
    await settlePromises();
    expect(subscription.asked.length).toBe(asked + 1);
  });

  it("starts what is acknowledged before it runs all the same: nobody else would ever get it", async () => {
    const started: string[] = [];
    const { subscription, consumer } = bench(({ id }) => void started.push(id), {
      consumer: { ackFirst: true },
    });
    await settlePromises();
    consumer.pause();
    subscription.give(delivery({ id: "a" }));
    await settlePromises();

    expect(started).toEqual(["a"]);
  });

  it("does not keep a drain from ending", async () => {
    const { subscription, consumer } = bench(() => undefined);
    await settlePromises();
    consumer.pause();
    subscription.give(delivery({ id: "a" }));
    await settlePromises();

    expect(await consumer.drain(1000)).toBe(0);
    expect(subscription.closed).toBe(true);
  });
});
