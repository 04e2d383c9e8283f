import { describe, expect, it } from "vitest";
import { bench, delivery, eventsOf } from "../../test/support/consuming.ts";
import type { Delivery, Failure } from "../core/delivery.ts";
import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { settlePromises } from "../testing/fake-clock.ts";
import { isSuspect } from "./suspect.ts";

const failure = (attempt: number): Failure => ({ attempt, code: "HANDLER_FAILED", message: "no", at: 1 });
const failures = (count: number) => Array.from({ length: count }, (_none, at) => failure(at + 1));
const attempted = (attempt: number, failed = 0, headers = {}): Delivery =>
  delivery({ headers }, { attempt, failures: failures(failed) });

describe("a message that is handed out again is a suspect", () => {
  it.each<[string, Delivery, number, boolean]>([
    ["never at its first attempt", attempted(1), 3, false],
    ["not after one attempt that ended without a word", attempted(2), 3, false],
    ["after two", attempted(3), 9, true],
    ["after one, when it has but one left", attempted(2), 2, true],
    ["not when its attempts failed with a word", attempted(3, 2), 3, false],
    ["when one of them did, and it has but one left", attempted(3, 1), 3, true],
    ["when two of four were silent", attempted(5, 2), 9, true],
    ["by the attempts that its publisher allows", attempted(2, 0, { "x-max-attempts": "2" }), 5, true],
    ["not where attempts are not counted", attempted(9), Infinity, false],
    ["not when it failed more often than a broker remembers", attempted(40, 20), 100, false],
  ])("%s", (_when, given, maxAttempts, expected) => {
    expect(isSuspect(given, maxAttempts)).toBe(expected);
  });
});

/** Handlers that end when they are told to, by their payload. */
function told() {
  const runs = new Map<unknown, () => void>();
  const handler = ({ payload }: Message): Promise<void> =>
    new Promise((resolve) => void runs.set(payload, resolve));
  const end = async (...payloads: readonly string[]): Promise<void> => {
    for (const payload of payloads) {
      runs.get(payload)?.();
      runs.delete(payload);
    }
    await settlePromises();
  };
  return { handler, end, running: () => [...runs.keys()] };
}

const named = (id: string, attempt = 1) => delivery({ id, payload: id }, { attempt });
const limited = (concurrency = 10) => ({
  handling: { maxAttempts: 3 },
  consumer: { prefetch: 100, concurrency },
});

describe("a suspect", () => {
  it("runs alone: what came with it is handled first, and the broker knows", async () => {
    const { handler, end, running } = told();
    const { subscription } = bench(handler, limited(2));
    subscription.give(named("a"), named("s", 3), named("t", 3), named("b"), named("c"));
    await settlePromises();
    expect(running()).toEqual(["a", "b"]);
    // Of two suspects, one goes back.
    expect(subscription.outcomes).toEqual(["release t"]);

    await end("a", "b");
    expect(running()).toEqual(["c"]);
    const knows = Promise.withResolvers<void>();
    subscription.onSettle = () => knows.promise;
    await end("c");
    expect(subscription.outcomes.slice(1)).toEqual(["ack a", "ack b", "ack c"]);
    expect([running(), subscription.gaveBackUnread]).toEqual([[], 0]);

    knows.resolve();
    await settlePromises();
    expect([running(), subscription.gaveBackUnread]).toEqual([["s"], 1]);
  });

  it("waits half a minute at most for what came with it: what has not started then goes back", async () => {
    const { handler, end, running } = told();
    const { clock, subscription } = bench(handler, limited(1));
    subscription.give(named("a"), named("b"), named("c"), named("s", 3));
    await clock.advanceAsync(20_000);
    await end("a");
    expect(running()).toEqual(["b"]);
    await clock.advanceAsync(9999);
    expect(subscription.outcomes).toEqual(["ack a"]);

    await clock.advanceAsync(1);
    expect(subscription.outcomes).toEqual(["ack a", "release c"]);
    await end("b");
    expect(running()).toEqual(["s"]);
  });

  it("runs although what was read ahead cannot be given back, which is told", async () => {
    const faults = eventsOf<{ where: string; error: HeraldError }>("fault");
    const { handler, running } = told();
    const { subscription } = bench(handler, limited());
    subscription.giveBackUnread = () =>
      Promise.reject(new HeraldError("NOT_CONNECTED", "The broker is away."));
    subscription.give(named("s", 3));
    await settlePromises();

    expect(running()).toEqual(["s"]);
    expect(faults).toMatchObject([{ where: "settle", error: { code: "NOT_CONNECTED" } }]);
  });

  it("is followed one by one, by full batches when what comes is none", async () => {
    const { handler, end, running } = told();
    const { subscription } = bench(handler, limited());
    subscription.give(named("s1", 3));
    await settlePromises();
    subscription.give(named("s2", 3), named("a"), named("b"), named("c"));
    await settlePromises();
    expect(running()).toEqual(["s1"]);

    await end("s1");
    expect(running()).toEqual(["s2"]);
    await end("s2");
    expect(running()).toEqual(["a", "b", "c"]);
    expect(subscription.asked.slice(0, 4)).toEqual([100, 1, 1, 99]);
    expect(subscription.outcomes).toEqual(["ack s1", "ack s2"]);
  });

  it("waits half a minute for handlers that do not end, and then runs beside them", async () => {
    const { handler, running } = told();
    const { clock, subscription } = bench(handler, limited());
    subscription.give(named("a"));
    await settlePromises();
    subscription.give(named("s", 3));
    await settlePromises();
    await clock.advanceAsync(29_999);
    expect(running()).toEqual(["a"]);

    await clock.advanceAsync(1 + 5000);
    expect(running()).toEqual(["a", "s"]);
  });

  it("lets others start beside it when it has run for half a minute", async () => {
    const { handler, running } = told();
    const { clock, subscription } = bench(handler, limited());
    subscription.give(named("s", 3));
    await settlePromises();
    subscription.give(named("b"));
    await clock.advanceAsync(29_999);
    expect(running()).toEqual(["s"]);

    await clock.advanceAsync(1 + 5000);
    expect(running()).toEqual(["s", "b"]);
  });

  it("that has not started goes back when the consumer is paused or drained", async () => {
    for (const how of ["pause", "drain"] as const) {
      const { handler, end, running } = told();
      const { subscription, consumer } = bench(handler, limited());
      subscription.give(named("a"));
      await settlePromises();
      subscription.give(named("s", 3));
      await settlePromises();
      const draining = how === "drain" ? consumer.drain(1000) : consumer.pause();
      await end("a");
      await draining;

      expect(running()).toEqual([]);
      expect(subscription.outcomes.toSorted()).toEqual(["ack a", "release s"]);
    }
  });

  it("that runs is let to its end when the consumer is drained", async () => {
    const { handler, end } = told();
    const { subscription, consumer } = bench(handler, limited());
    subscription.give(named("s", 3));
    await settlePromises();
    const draining = consumer.drain(1000);
    await settlePromises();
    await end("s");

    expect(await draining).toBe(0);
    expect(subscription.outcomes).toEqual(["ack s"]);
  });
});
