import { describe, expect, it } from "vitest";
import { bench, delivery } from "../../test/support/consuming.ts";
import { SlowInbox } from "../../test/support/slow-inbox.ts";
import { settlePromises } from "../testing/fake-clock.ts";

describe("while the effects of a handler are made", () => {
  it("another handler runs in its place", async () => {
    const inbox = new SlowInbox();
    const started: string[] = [];
    const { subscription, consumer } = bench(({ id }) => void started.push(id), {
      handling: { inbox },
      consumer: { concurrency: 2, prefetch: 4 },
    });
    subscription.give(...["a", "b", "c", "d"].map((id) => delivery({ id })));
    await settlePromises();
    expect(inbox.claims).toHaveLength(2);

    for (const claim of inbox.claims) claim.resolve("new");
    await settlePromises();
    expect(started).toEqual(["a", "b"]);
    expect(inbox.told.slice(2).toSorted()).toEqual(["claim g c", "claim g d", "commit g a", "commit g b"]);
    expect(consumer.active).toBe(4);

    for (const claim of inbox.claims) claim.resolve("new");
    for (const commit of inbox.commits) commit.resolve();
    await settlePromises();
    for (const commit of inbox.commits) commit.resolve();
    await settlePromises();
    expect(started).toEqual(["a", "b", "c", "d"]);
    expect(subscription.outcomes.toSorted()).toEqual(["ack a", "ack b", "ack c", "ack d"]);
    expect(consumer.active).toBe(0);
  });

  it("none does where handlers run one after the other: each sees the effects of the one before", async () => {
    const inbox = new SlowInbox();
    const { subscription } = bench(() => undefined, {
      handling: { inbox },
      consumer: { concurrency: 1, prefetch: 4 },
    });
    subscription.give(delivery({ id: "a" }), delivery({ id: "b" }));
    await settlePromises();
    inbox.claims[0]?.resolve("new");
    await settlePromises();
    expect(inbox.told).toEqual(["claim g a", "commit g a"]);

    inbox.commits[0]?.resolve();
    await settlePromises();
    expect(inbox.told).toEqual(["claim g a", "commit g a", "claim g b"]);
  });

  it("its time may run out, or the service stop: its place is given up once", async () => {
    const inbox = new SlowInbox();
    const started: string[] = [];
    const { clock, subscription, consumer } = bench(({ id }) => void started.push(id), {
      handling: { inbox },
      consumer: { concurrency: 2, prefetch: 10, handlerTimeoutMs: 100 },
    });
    subscription.give(...["a", "b", "c", "d", "e", "f"].map((id) => delivery({ id })));
    for (let round = 1; round <= 3; round++) {
      await settlePromises();
      for (const claim of inbox.claims) claim.resolve("new");
    }
    await settlePromises();
    expect(started).toEqual(["a", "b", "c", "d", "e", "f"]);
    await clock.advanceAsync(100);
    expect(consumer.active).toBe(0);

    subscription.give(...["g", "h", "i"].map((id) => delivery({ id })));
    await settlePromises();
    expect(inbox.claims).toHaveLength(8);
    const drained = consumer.drain(0);
    await settlePromises();
    await clock.advanceAsync(20_000);
    await drained;
    expect(consumer.active).toBe(0);
  });
});
