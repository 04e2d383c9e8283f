import { describe, expect, it, vi } from "vitest";
import { delivery, eventsOf, settlerOf } from "../../test/support/consuming.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";
import { HeraldError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { HANDLED, type Outcome } from "../core/outcome.ts";
import type { Envelope } from "../core/envelope.ts";
import { Metrics } from "../observability/metrics.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { DeliveryContext } from "./context.ts";
import { factsOf } from "./dead-letter.ts";
import { retryPolicy } from "./retry.ts";
import type { SettleOptions } from "./settle.ts";

const failed: Outcome = { kind: "failed", error: new HeraldError("HANDLER_FAILED", "It did not work.") };
const rejected: Outcome = { kind: "rejected", error: new HeraldError("REJECTED", "Never this one.") };
const nacked: Outcome = {
  kind: "nacked",
  delayMs: 5,
  error: new HeraldError("HANDLER_FAILED", "The handler gave the message back."),
};

/** Settles outcomes and keeps what was published as dead letters and what was counted. */
function settling(options: Partial<SettleOptions> = {}) {
  const clock = new FakeClock();
  const metrics = new Metrics(clock);
  const letters: Envelope[] = [];
  const settler = settlerOf(clock, {
    meter: metrics,
    publish: (letter) => Promise.resolve(letters.push(letter)),
    ...options,
  });
  const settle = async (outcome: Outcome, of: Delivery = delivery()): Promise<Settlement> =>
    settler.settle(new DeliveryContext(of, "a", "g"), outcome);
  const counts = (): Record<string, number> => {
    const all = { ...metrics.group("c", options.group === null ? "" : "g") } as unknown as Record<
      string,
      number
    >;
    return Object.fromEntries(
      Object.entries(all).filter(([, count]) => typeof count === "number" && count > 0),
    );
  };
  return { clock, metrics, letters, settle, counts };
}

describe("an outcome", () => {
  it("handled is an ack, counted with the time from publish to now", async () => {
    const { clock, settle, counts, metrics } = settling();
    const one = delivery({ time: clock.now() - 250 });

    expect(await settle(HANDLED, one)).toEqual({ kind: "ack", delivery: one });
    expect(counts()["handled"]).toBe(1);
    expect(metrics.snapshot().avgLatencyMs).toBe(250);
  });

  it.each(["filtered", "duplicate"] as const)(
    "skipped because %s is an ack, counted as such",
    async (reason) => {
      const { settle, counts } = settling();

      expect(await settle({ kind: "skipped", reason })).toMatchObject({ kind: "ack" });
      expect(counts()).toEqual({ [reason === "duplicate" ? "duplicates" : "filtered"]: 1 });
    },
  );

  it("skipped because it is for another group is an ack that no counter shows", async () => {
    const { settle, counts } = settling();

    expect(await settle({ kind: "skipped", reason: "addressed" })).toMatchObject({ kind: "ack" });
    expect(counts()).toEqual({});
  });

  it("snoozed is a release after the wait that was asked for", async () => {
    const { settle, counts } = settling();

    expect(await settle({ kind: "snoozed", delayMs: 77 })).toMatchObject({ kind: "release", delayMs: 77 });
    expect(counts()).toEqual({ snoozed: 1 });
  });

  it("failed is a nack after the policy's wait, with what failed", async () => {
    const { clock, settle, counts } = settling({ policy: retryPolicy({ maxAttempts: 5 }) });

    expect(await settle(failed, delivery({}, { attempt: 3 }))).toMatchObject({
      kind: "nack",
      delayMs: 4000,
      failure: { attempt: 3, code: "HANDLER_FAILED", message: "It did not work.", at: clock.now() },
    });
    expect(counts()).toEqual({ failed: 1, retried: 1 });
  });

  it("failed on the last attempt is a dead letter, then an ack", async () => {
    const { settle, counts, letters } = settling();
    const one = delivery({}, { attempt: 3 });

    expect(await settle(failed, one)).toEqual({ kind: "ack", delivery: one });
    expect(letters.map(({ id, channel }) => [id, channel])).toEqual([[one.envelope.id, "dlq.a"]]);
    expect(counts()).toEqual({ failed: 1, deadLettered: 1 });
  });

  it("rejected is a dead letter at once, whatever the policy says", async () => {
    const { settle, counts, letters } = settling({ policy: retryPolicy({ maxAttempts: 100 }) });

    expect(await settle(rejected)).toMatchObject({ kind: "ack" });
    expect(factsOf(letters[0] as Envelope)).toMatchObject({ code: "REJECTED", attempts: 1 });
    expect(counts()).toEqual({ failed: 1, deadLettered: 1 });
  });

  it("nacked is tried again after the handler's own wait, and given up on like any other failure", async () => {
    const { settle, counts, letters } = settling();

    expect(await settle(nacked)).toMatchObject({ kind: "nack", delayMs: 5 });
    expect(await settle(nacked, delivery({}, { attempt: 3 }))).toMatchObject({
      kind: "ack",
    });
    expect(letters).toHaveLength(1);
    expect(counts()).toEqual({ failed: 2, retried: 1, deadLettered: 1 });
  });

  it("expired on the first attempt is an ack, counted and dropped", async () => {
    const { settle, counts, letters } = settling();

    expect(await settle({ kind: "expired" })).toMatchObject({ kind: "ack" });
    expect(letters).toEqual([]);
    expect(counts()).toEqual({ expired: 1 });
  });

  it("expired on the first attempt is a dead letter where that was asked for", async () => {
    const { settle, counts, letters } = settling({ expiredToDlq: true });

    expect(await settle({ kind: "expired" })).toMatchObject({ kind: "ack" });
    expect(factsOf(letters[0] as Envelope)).toMatchObject({ code: "EXPIRED", attempts: 1 });
    expect(counts()).toEqual({ expired: 1, deadLettered: 1 });
  });

  it("expired after a failure is a dead letter: it was given up on", async () => {
    const { settle, counts, letters } = settling();

    await settle({ kind: "expired" }, delivery({}, { attempt: 2 }));
    expect(factsOf(letters[0] as Envelope)?.code).toBe("EXPIRED");
    expect(counts()).toEqual({ expired: 1, deadLettered: 1 });
  });

  it("is told as an event with its delivery", async () => {
    const events = eventsOf<{ agent: string; group: string; outcome: Outcome; delivery: Delivery }>(
      "settled",
    );
    const { settle } = settling();
    const one = delivery();
    await settle(HANDLED, one);

    expect(events).toMatchObject([{ agent: "a", group: "g", outcome: HANDLED, delivery: one }]);
  });
});

describe("a failure", () => {
  it("is logged once with what a person needs, and told as an event", async () => {
    const logger: Logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
    const events = eventsOf<{ channel: string; error: HeraldError }>("handler-error");
    const { settle } = settling({ logger });
    await settle(failed, delivery({ id: "m-1" }, { attempt: 2 }));

    expect(logger.warn).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ id: "m-1", channel: "c", group: "g", attempt: 2, code: "HANDLER_FAILED" }),
      "Attempt 2 of m-1 on 'c' failed: It did not work.",
    );
    expect(events.map(({ channel, error }) => [channel, error.code])).toEqual([["c", "HANDLER_FAILED"]]);
  });

  it("is kept with at most 500 characters of what it says", async () => {
    const { settle } = settling();
    const error = new HeraldError("HANDLER_FAILED", "x".repeat(1_000_000));
    const settlement = await settle({ kind: "failed", error });

    expect(settlement.kind === "nack" && settlement.failure?.message.length).toBe(501);
  });
});

describe("under at-most-once", () => {
  it.each<[string, Outcome]>([
    ["a failure", failed],
    ["a rejection", rejected],
    ["a nack", nacked],
  ])("%s is not tried again and makes no dead letter: it is counted as discarded", async (_name, outcome) => {
    const { settle, counts, letters } = settling({ once: true });

    expect(await settle(outcome)).toMatchObject({ kind: "ack" });
    expect(letters).toEqual([]);
    expect(counts()).toEqual({ failed: 1, discarded: 1 });
  });
});

describe("without dead letters", () => {
  it("a message that is given up on is counted as discarded", async () => {
    const { settle, counts } = settling({ deadLetterChannel: undefined });

    expect(await settle(rejected)).toMatchObject({ kind: "ack" });
    expect(counts()).toEqual({ failed: 1, discarded: 1 });
  });
});

describe("a dead letter whose own handling fails", () => {
  it("makes no second dead letter", async () => {
    const { settle, letters } = settling();
    await settle(rejected);
    const letter = letters[0] as Envelope;

    const again = settling();
    expect(await again.settle(rejected, { ...delivery(), envelope: letter })).toMatchObject({ kind: "ack" });
    expect(again.letters).toEqual([]);
    const { failed: count, discarded } = again.metrics.group("dlq.a", "g");
    expect({ count, discarded }).toEqual({ count: 1, discarded: 1 });
  });
});

describe("a dead letter that cannot be written", () => {
  it("leaves its message where it is, uncounted as an attempt, for five seconds", async () => {
    const faults = eventsOf<{ where: string; error: HeraldError }>("fault");
    const error = vi.fn();
    const logger: Logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error };
    const cause = new HeraldError("OVERLOADED", "The broker is full.");
    const { settle, counts } = settling({ logger, publish: () => Promise.reject(cause) });

    const one = delivery({ id: "m-1" }, { attempt: 3 });
    expect(await settle(failed, one)).toEqual({ kind: "release", delivery: one, delayMs: 5000 });
    expect(counts()).toEqual({ failed: 1 });
    expect(faults).toMatchObject([{ where: "dead-letter", error: { code: "DLQ_UNAVAILABLE", cause } }]);
    expect(error).toHaveBeenCalledOnce();
  });

  it("is not told as dead-lettered; one that was written is", async () => {
    const events = eventsOf<{ reason: string; attempts: number }>("dead-lettered");
    await settling({ publish: () => Promise.reject(new Error("no")) }).settle(rejected);
    expect(events).toEqual([]);

    await settling().settle(rejected, delivery({}, { attempt: 2 }));
    expect(events).toMatchObject([{ reason: "REJECTED", attempts: 2, agent: "a", group: "g" }]);
  });
});

describe("a broadcast", () => {
  it("is counted under no group", async () => {
    const { settle, metrics } = settling({ group: null });
    await settle(HANDLED);

    expect(metrics.groupMetrics("c").map(({ group, handled }) => [group, handled])).toEqual([["", 1]]);
  });
});
