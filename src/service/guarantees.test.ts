import { describe, expect, it } from "vitest";
import type { Message } from "../core/message.ts";
import { MemoryInbox } from "../stores/memory-inbox.ts";
import { world } from "../../test/support/agents.ts";
import type { MessagingServiceOptions } from "./options.ts";
import type { MessagingService } from "./service.ts";

const EXACTLY_ONCE: Partial<MessagingServiceOptions> = { defaultDeliveryGuarantee: "exactly-once" };

/** Collects what comes on a channel, under at-least-once. */
async function collect(service: MessagingService, channel: string): Promise<Message[]> {
  const got: Message[] = [];
  const keep = (message: Message): void => void got.push(message);
  await service.subscribe(channel, keep, { group: `collect-${channel}`, guarantee: "at-least-once" });
  return got;
}

describe("at-most-once", () => {
  it("acknowledges before the handler runs, never runs it again, and counts a failure as discarded", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { defaultDeliveryGuarantee: "at-most-once" });
    const lags: unknown[] = [];
    await service.subscribe("x", async () => {
      lags.push((await service.getConsumerLag({ channel: "x" })).map(({ lag }) => lag));
      throw new Error("no");
    });

    await service.publish("x", 1);
    await clock.advanceAsync(60_000);

    expect(lags).toEqual([[0]]);
    expect(service.getMetrics()).toMatchObject({
      delivered: 1,
      failed: 1,
      retried: 0,
      deadLettered: 0,
      discarded: 1,
    });
    expect(await service.deadLetters.list()).toEqual([]);
  });
});

describe("at-least-once", () => {
  it("is the default: acknowledged after the handler, and run again for the same id published twice", async () => {
    const { agent } = world();
    const service = await agent("a");
    const lags: unknown[] = [];
    await service.subscribe("x", async () => {
      lags.push((await service.getConsumerLag({ channel: "x" })).map(({ unsettled }) => unsettled));
    });

    const lag = async () => (await service.getConsumerLag({ channel: "x" })).map(({ lag }) => lag);
    for (let n = 1; n <= 2; n++) {
      await service.publish("x", 1, { id: "same" });
      await expect.poll(() => lags).toHaveLength(n);
      await expect.poll(lag).toEqual([0]);
    }

    expect(lags).toEqual([[1], [1]]);
  });
});

describe("exactly-once", () => {
  it("runs a handler once for an id that comes twice, and counts the second as a duplicate", async () => {
    const { agent } = world();
    const [service, stranger] = [await agent("a", EXACTLY_ONCE), await agent("b")];
    let runs = 0;
    await service.subscribe("x", () => void runs++);

    for (let n = 0; n < 2; n++) await stranger.publish("x", 1, { id: "same" });
    await stranger.publish("x", 1, { id: "other" });

    await expect.poll(() => service.getMetrics()).toMatchObject({ duplicates: 1, handled: 2, delivered: 2 });
    expect(runs).toBe(2);
  });

  it("holds for every group by itself, and for replicas that share an inbox", async () => {
    const { agent, clock } = world();
    const inbox = new MemoryInbox({ clock });
    const replicas = [
      await agent("a", { ...EXACTLY_ONCE, inbox }),
      await agent("a", { ...EXACTLY_ONCE, inbox }),
    ];
    const stranger = await agent("b");
    const ran: string[] = [];
    for (const replica of replicas)
      await replica.subscribe("x", (message) => void ran.push(message.id), { maxConcurrency: 1 });
    await replicas[0]?.subscribe("x", (message) => void ran.push(`audit ${message.id}`), { group: "audit" });

    for (const id of ["1", "2", "1", "2", "1"]) await stranger.publish("x", 1, { id });

    await expect
      .poll(() => replicas.reduce((sum, replica) => sum + replica.getMetrics().duplicates, 0))
      .toBe(6);
    expect(ran.toSorted()).toEqual(["1", "2", "audit 1", "audit 2"]);
  });

  it("lets what a handler publishes leave only once it has succeeded, under ids that a repeated run makes again", async () => {
    const { agent, clock } = world();
    const service = await agent("a", EXACTLY_ONCE);
    const got = await collect(service, "out");
    const ids: string[][] = [];
    const seenBeforeTheEnd: number[] = [];
    await service.subscribe("in", async (_message, context) => {
      ids.push([
        await service.publish("out", "first"),
        await service.publish("out", "second", { id: `mine-${context.attempt}` }),
      ]);
      await new Promise((resolve) => setImmediate(resolve));
      seenBeforeTheEnd.push(got.length);
      if (context.attempt === 1) throw new Error("after publishing");
    });

    await service.publish("in", 1);
    await clock.advanceAsync(1000);

    await expect.poll(() => got.map(({ payload }) => payload)).toEqual(["first", "second"]);
    expect(seenBeforeTheEnd).toEqual([0, 0]);
    expect(ids[0]?.[0]).toBe(ids[1]?.[0]);
    expect(got.map(({ id }) => id)).toEqual([ids[1]?.[0], "mine-2"]);
    expect(got[0]?.metadata).toMatchObject({ hops: 1 });
  });

  it("checks what its handler publishes at once: a contract that is broken is the handler's error", async () => {
    const { agent } = world();
    const messaging = {
      publishes: [{ channel: "out", schema: { type: "integer" } }, { channel: "in" }],
      reliability: { deliveryGuarantee: "exactly-once" },
    };
    const service = await agent("a", { messaging });
    const got = await collect(service, "out");
    await service.subscribe("in", async (message) => {
      await service.publish("out", 1);
      await service.publish("out", message.payload);
    });

    await service.publish("in", "no integer");
    await service.publish("in", 2);

    await expect.poll(() => got.map(({ payload }) => payload)).toEqual([1, 2]);
    expect(await service.deadLetters.list()).toMatchObject([{ code: "SCHEMA_VIOLATION", channel: "in" }]);
  });

  it("sends a request of its handler at once, and the handler's reply only once it has succeeded", async () => {
    const { agent, clock } = world();
    const [service, helper] = [await agent("a", EXACTLY_ONCE), await agent("b")];
    await helper.subscribe("inner", ({ payload }) => Number(payload) + 1);
    await service.subscribe("outer", ({ payload }) => service.request("inner", payload));

    await expect(helper.request("outer", 1)).resolves.toBe(2);
    expect(clock.monotonic()).toBe(0);
  });

  it("of one subscription is its own, whatever the service's default", async () => {
    const { agent } = world();
    const service = await agent("a");
    let [once, often] = [0, 0];
    await service.subscribe("x", () => void once++, { guarantee: "exactly-once" });
    await service.subscribe("x", () => void often++);

    for (let n = 0; n < 3; n++) await service.publish("x", 1, { id: "same" });

    await expect.poll(() => [once, often]).toEqual([1, 3]);
  });
});
