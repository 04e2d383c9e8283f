import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import { HeraldError, RejectError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";

describe("a message that is given up on", () => {
  it("has every failure of its attempts in its dead letter, and its own bytes", async () => {
    const { clock, time, agent } = world();
    const a = await agent("a");
    let attempt = 0;
    await a.subscribe("c", () => {
      throw new Error(`failure ${++attempt}`);
    });
    const startedAt = clock.now();
    const id = await a.publish("c", { a: 1 });
    await time.until(async () => (await a.deadLetters.stats()).total === 1, "the dead letter");

    const entry = await a.deadLetters.get(id);
    expect(entry).toMatchObject({ attempts: 3, code: "HANDLER_FAILED", channel: "c", group: "a" });
    expect(entry?.failures.map(({ message, at }) => [message, at - startedAt])).toEqual([
      ["failure 1", 0],
      ["failure 2", 1000],
      ["failure 3", 3000],
    ]);
    expect([(entry?.firstFailedAt ?? 0) - startedAt, (entry?.lastFailedAt ?? 0) - startedAt]).toEqual([
      0, 3000,
    ]);
    expect(entry?.message?.payload).toEqual({ a: 1 });
  });

  it("goes back to the group that gave up and to no other, with its id, from attempt 1", async () => {
    const { time, agent } = world();
    const a = await agent("a", { retry: { maxAttempts: 2 } });
    const b = await agent("b");
    let broken = true;
    const seen: string[] = [];
    await a.subscribe("c", ({ id }, { attempt }) => {
      seen.push(`a ${id} ${attempt}`);
      if (broken) throw new Error("no");
    });
    await b.subscribe("c", ({ id }, { attempt }) => void seen.push(`b ${id} ${attempt}`));
    await a.publish("c", 1, { id: "m" });
    await time.until(async () => (await a.deadLetters.stats()).total === 1, "the dead letter");
    expect(seen).toEqual(["a m 1", "b m 1", "a m 2"]);

    broken = false;
    expect(await a.deadLetters.redrive("m")).toBe(1);
    await time.until(() => seen.length === 4, "the redriven message");
    await time.elapse(60_000);

    expect(seen[3]).toBe("a m 1");
    expect(seen).toHaveLength(4);
    expect((await a.deadLetters.stats()).total).toBe(0);
  });

  it("by a broadcast goes back to the broadcasts and to no group", async () => {
    const { time, agent } = world();
    const a = await agent("a", { retry: { maxAttempts: 1 } });
    const seen: string[] = [];
    let broken = true;
    await a.subscribe("c", () => void seen.push("group"));
    await a.subscribe(
      "c",
      () => {
        seen.push("broadcast");
        if (broken) throw new Error("no");
      },
      { group: null },
    );
    await a.publish("c", 1);
    await time.until(async () => (await a.deadLetters.stats()).total === 1, "the dead letter");
    broken = false;
    await a.deadLetters.redrive();
    await time.elapse(1000);

    expect(seen.toSorted()).toEqual(["broadcast", "broadcast", "group"]);
  });

  it("is a message with x-dlq headers to who subscribes to the dead letters, whose own failures make no second one", async () => {
    const { time, agent } = world();
    const a = await agent("a", { retry: { maxAttempts: 1 } });
    const seen: Message[] = [];
    await a.subscribe("c", () => {
      throw new RejectError("bad order");
    });
    await a.subscribe("dlq.a", (message) => {
      seen.push(message);
      throw new Error("worse");
    });
    await a.publish("c", { a: 1 }, { id: "m", headers: { h: "1" } });
    await time.elapse(60_000);

    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ id: "m", channel: "dlq.a", payload: { a: 1 } });
    expect(seen[0]?.metadata.headers).toMatchObject({
      h: "1",
      "x-dlq-channel": "c",
      "x-dlq-reason": "bad order",
    });
    expect(a.getMetrics()).toMatchObject({ deadLettered: 1, discarded: 1 });
    expect((await a.deadLetters.stats()).total).toBe(1);
  });

  it("may be published again by hand with its headers, and is given up on again like any other", async () => {
    const { time, agent } = world();
    const a = await agent("a", { retry: { maxAttempts: 1 } });
    const seen: string[] = [];
    await a.subscribe("c", () => {
      throw new Error("no");
    });
    await a.subscribe("parked", ({ payload, metadata }) => {
      seen.push(JSON.stringify(payload));
      expect(Object.keys(metadata.headers ?? {})).toEqual(["h"]);
      throw new Error("no");
    });
    await a.subscribe("dlq.a", async ({ payload, metadata }) => {
      if (metadata.headers?.["x-dlq-channel"] === "c")
        await a.publish("parked", payload, { headers: metadata.headers });
    });
    await a.publish("c", { a: 1 }, { headers: { h: "1" } });
    await time.until(async () => (await a.deadLetters.stats()).total === 2, "both dead letters");

    expect(seen).toEqual(['{"a":1}']);
    expect((await a.deadLetters.list()).map(({ channel }) => channel)).toEqual(["c", "parked"]);
  });

  it("goes to the channel that its agent names, is listed there, and stays for as long as was asked", async () => {
    const { time, agent } = world();
    const a = await agent("a", {
      retry: { maxAttempts: 1 },
      dlq: { channel: "my.letters", retentionDays: 2 },
    });
    await a.subscribe("c", () => {
      throw new Error("no");
    });
    await a.publish("c", 1);
    await time.elapse(0);
    expect(await a.deadLetters.list()).toMatchObject([{ deadLetterChannel: "my.letters" }]);

    await time.elapse(2 * 86_400_000 - 1);
    expect(await a.deadLetters.list()).toHaveLength(1);
    await time.elapse(1);
    expect(await a.deadLetters.list()).toEqual([]);
  });

  it("comes back after five seconds as the same attempt when its dead letter cannot be written", async () => {
    const { clock, time, broker, agent } = world();
    const a = await agent("a", { retry: { maxAttempts: 1 } });
    const seen: [number, number][] = [];
    await a.subscribe("c", (_message, { attempt }) => {
      seen.push([clock.monotonic(), attempt]);
      throw new Error("no");
    });
    const publish = broker.publish.bind(broker);
    broker.publish = (envelopes, options) =>
      envelopes.some(({ channel }) => channel === "dlq.a")
        ? Promise.reject(new HeraldError("NOT_CONNECTED", "Away."))
        : publish(envelopes, options);
    await a.publish("c", 1);
    await time.elapse(5000);
    broker.publish = publish;
    await time.elapse(5000);

    expect(seen).toEqual([
      [0, 1],
      [5000, 1],
      [10_000, 1],
    ]);
    expect((await a.deadLetters.stats()).total).toBe(1);
  });
});
