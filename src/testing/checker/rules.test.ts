import { describe, expect, it } from "vitest";
import {
  GROUP,
  invoke,
  ok,
  published,
  start,
  event,
  nack,
  release,
  dlq,
  done,
  handled,
  judge,
  anomalies,
  type Line,
} from "../../../test/support/histories.ts";
import { check } from "./check.ts";
import type { HistoryEvent } from "./history.ts";

const three = ["w-0", "w-1", "w-2"].flatMap((id) => published(id));

describe("loss", () => {
  it("is judged for each group by what it subscribed to and when", () => {
    const late: Line = { type: "subscribe", group: "late", pattern: "c", from: "new" };
    const other: Line = { type: "subscribe", group: "other", pattern: "d.*", from: "earliest" };
    const early: Line = { type: "subscribe", group: GROUP, pattern: "#", from: "earliest" };

    expect(anomalies([published("w-0"), late, other, early, handled("w-0")])).toEqual([]);
    expect(anomalies([published("w-0"), early])).toEqual(["lost-prefix"]);
    expect(anomalies([late, published("w-0")])).toEqual(["lost-prefix"]);
  });

  it("is not judged for a broadcast that has ended", () => {
    const subscribed: Line = { type: "subscribe", group: "b", pattern: "c", from: "new" };

    expect(anomalies([subscribed, published("w-0"), { type: "unsubscribe", group: "b" }])).toEqual([]);
  });

  it("does not count a refused or an indeterminate publish", () => {
    const lines: Line[] = [
      invoke("w-0"),
      { type: "pub.fail", id: "w-0", code: "x" },
      invoke("w-1"),
      { type: "pub.info", id: "w-1", code: "x" },
    ];

    expect(anomalies([{ type: "subscribe", group: GROUP, pattern: "c", from: "new" }, lines])).toEqual([]);
  });

  it("counts an acknowledged message that no handler saw as lost, unless it was past its time", () => {
    expect(anomalies([published("w-0"), event("ack.ok", "w-0")])).toEqual(["lost-prefix"]);
    expect(anomalies([published("w-0", { expiresAt: 10 }), { ...event("ack.ok", "w-0"), at: 11 }])).toEqual(
      [],
    );
  });

  it("is pending, not lost, in a run that was not drained", () => {
    const verdict = judge([three, handled("w-0")], { complete: false });

    expect(verdict.ok).toBe(true);
    expect(verdict.tally).toMatchObject({ acked: 3, handled: 1, pending: 2, lost: 0 });
  });
});

describe("order", () => {
  const batch = [
    invoke("w-0", { key: "k", batch: 1 }),
    invoke("w-1", { key: "k", batch: 1 }),
    ok("w-0"),
    ok("w-1"),
  ];

  it("holds within one batch, although its publishes overlap in time", () => {
    expect(anomalies([batch, handled("w-1"), handled("w-0")], { order: "relaxed" })).toEqual(["reorder"]);
    expect(anomalies([batch, handled("w-0"), handled("w-1")], { order: "relaxed" })).toEqual([]);
  });

  it("of starts may hold while that of effects does not, and only strict looks at both", () => {
    const lines = [batch, start("w-0"), nack("w-0"), handled("w-1"), handled("w-0", { attempt: 2 })];

    expect(anomalies(lines, { order: "relaxed" })).toEqual([]);
    expect(anomalies(lines, { order: "strict" })).toEqual(["reorder"]);
  });

  it("binds messages without a key only when they are one lane", () => {
    const lines = [published("w-0"), published("w-1"), handled("w-1"), handled("w-0")];

    expect(anomalies(lines, { order: "relaxed" })).toEqual([]);
    expect(anomalies(lines, { order: "relaxed", keyless: true })).toEqual(["reorder"]);
  });

  it("does not bind different keys, different priorities, delayed messages, or ids published again", () => {
    const across = (first: object, second: object) => [
      published("w-0", first),
      published("w-1", second),
      handled("w-1"),
      handled("w-0"),
    ];

    expect(anomalies(across({ key: "a" }, { key: "b" }), { order: "strict" })).toEqual([]);
    expect(
      anomalies(across({ key: "a", priority: 80 }, { key: "a", priority: 10 }), { order: "strict" }),
    ).toEqual([]);
    expect(anomalies([across({ key: "a", notBefore: 1 }, { key: "a" })], { order: "strict" })).toEqual([]);
    expect(
      anomalies([invoke("w-0", { key: "a" }), across({ key: "a" }, { key: "a" })], { order: "strict" }),
    ).toEqual([]);
  });
});

describe("counting", () => {
  it("calls a second start before the first is settled a duplicate, unless redeliveries may just come", () => {
    const lines = [published("w-0"), start("w-0"), start("w-0", { attempt: 2 }), done("w-0")];

    expect(anomalies(lines)).toEqual(["duplicate-effect"]);
    expect(anomalies(lines, { redelivery: "free" })).toEqual([]);
  });

  it("allows one start under at-most-once and no more", () => {
    const lines = [published("w-0"), start("w-0"), event("abandoned", "w-0"), start("w-0", { attempt: 2 })];

    expect(anomalies(lines, { guarantee: "at-most-once" })).toEqual(["duplicate-effect"]);
    expect(anomalies([published("w-0"), start("w-0")], { guarantee: "at-most-once" })).toEqual([]);
  });

  it("accepts either attempt after a settlement whose arrival nobody knows", () => {
    const again = (attempt: number) => [
      published("w-0"),
      start("w-0"),
      event("ack.info", "w-0"),
      handled("w-0", { attempt }),
    ];

    expect([anomalies(again(1)), anomalies(again(2)), anomalies(again(3))]).toEqual([
      [],
      [],
      ["extra-attempt"],
    ]);
  });

  it("begins attempts anew after a redrive, and calls a second dead letter without one a duplicate", () => {
    const dead = [
      published("w-0"),
      start("w-0"),
      event("fail", "w-0"),
      dlq("w-0", "rejected"),
      event("ack.ok", "w-0"),
    ];

    expect(anomalies([dead, event("replay", "w-0"), handled("w-0", { attempt: 1 })])).toEqual([]);
    expect(anomalies([dead, dlq("w-0", "rejected")])).toEqual(["duplicate-effect"]);
  });

  it("does not ask attempts to be exact of a broker that cannot count", () => {
    const lines = [published("w-0"), start("w-0"), release("w-0"), handled("w-0", { attempt: 2 })];

    expect(anomalies(lines)).toEqual(["extra-attempt"]);
    expect(anomalies(lines, { attempts: "growing" })).toEqual([]);
  });

  it("holds a nacked message to the delay it was given back with", () => {
    const lines = [published("w-0"), start("w-0"), { ...nack("w-0", 50), at: 100 }];

    expect(anomalies([lines, { ...start("w-0", { attempt: 2 }), at: 149 }, done("w-0")])).toEqual(["early"]);
    expect(anomalies([lines, { ...start("w-0", { attempt: 2 }), at: 150 }, done("w-0")])).toEqual([]);
  });

  it("calls a message that crosses channels a phantom there", () => {
    expect(
      anomalies([published("w-0"), start("w-0", { channel: "d" }), handled("w-0", { channel: "c" })]),
    ).toEqual(["phantom"]);
  });

  it("calls a dead letter as expired before its time early", () => {
    expect(anomalies([published("w-0", { expiresAt: 1000 }), dlq("w-0", "expired")])).toEqual(["early-dlq"]);
  });

  it("calls a publish that was answered too late hung", () => {
    const lines = [{ ...invoke("w-0"), at: 0 }, { ...ok("w-0"), at: 6000 }, handled("w-0")];

    expect(anomalies(lines, { publishTimeoutMs: 5000 })).toEqual(["hung-publish"]);
    expect(anomalies(lines, { publishTimeoutMs: 6000 })).toEqual([]);
  });

  it("notices a product that reports more losses than there are", () => {
    expect(anomalies([published("w-0"), handled("w-0"), { type: "data-loss", count: 1 }])).toEqual([
      "counter-drift",
    ]);
  });
});

describe("a holder that lost its lease", () => {
  const takenOver = [
    published("w-0"),
    start("w-0", { attempt: 2 }),
    event("commit.ok", "w-0"),
    event("ack.ok", "w-0"),
  ];
  const late = start("w-0", { attempt: 1 });

  it("may start what another took over only where that is said", () => {
    expect(anomalies([takenOver, late], { attempts: "growing" })).toEqual(["resurrect", "lost-attempt"]);
    expect(anomalies([takenOver, late], { zombies: true, attempts: "growing" })).toEqual([]);
  });

  it("excuses neither a delivery that is new nor a second effect", () => {
    const options = { zombies: true, attempts: "growing", guarantee: "exactly-once" } as const;

    expect(anomalies([takenOver, start("w-0", { attempt: 3 })], options)).toEqual(["resurrect"]);
    expect(anomalies([takenOver, late, event("commit.ok", "w-0")], options)).toEqual(["duplicate-effect"]);
  });

  it("may settle what it held no longer only where settlements may be late, and excuses no second effect", () => {
    const options = { settlements: "late", attempts: "growing", guarantee: "exactly-once" } as const;
    const again = start("w-0", { attempt: 3 });
    const early = [published("w-0"), start("w-0"), nack("w-0", 50), handled("w-0", { attempt: 2 })];

    expect(anomalies([takenOver, again, event("ack.ok", "w-0")], options)).toEqual([]);
    expect(anomalies([takenOver, again, event("commit.ok", "w-0")], options)).toEqual(["duplicate-effect"]);
    expect(anomalies(early, options)).toEqual([]);
    expect(anomalies(early)).toEqual(["early"]);
  });
});

describe("a composite of brokers", () => {
  const drain = (epoch: number, id: string, by: string): Line => ({ type: "drain", epoch, id, by });

  it("has one mode and one drainer in each epoch", () => {
    const modes: Line[] = [
      { type: "mode", epoch: 1, mode: "DEGRADED" },
      { type: "mode", epoch: 1, mode: "DEGRADED" },
      { type: "mode", epoch: 2, mode: "DISTRIBUTED" },
    ];
    const drains = [drain(1, "w-0", "a"), drain(1, "w-1", "a"), drain(2, "w-2", "b")];

    expect(anomalies([three, modes, drains, handled("w-0"), handled("w-1"), handled("w-2")])).toEqual([]);
    expect(anomalies([modes, { type: "mode", epoch: 2, mode: "ISOLATED" }])).toEqual(["split-brain"]);
    expect(anomalies([drains, drain(2, "w-3", "a")])).toEqual(["split-brain"]);
  });

  it("hands each message back once, whatever the epoch", () => {
    expect(anomalies([drain(1, "w-0", "a"), drain(2, "w-0", "b")])).toEqual(["split-brain"]);
  });
});

describe("a vacuous run", () => {
  it("is not ok although nothing is wrong with it: too few acknowledged messages", () => {
    const verdict = judge([published("w-0"), handled("w-0")], { minAcked: 2 });

    expect(verdict).toMatchObject({ ok: false, vacuous: true, findings: [] });
  });

  it("is not ok although nothing is wrong with it: no injected fault", () => {
    expect(judge([published("w-0"), handled("w-0")], { minFaults: 1 }).vacuous).toBe(true);
    expect(
      judge([published("w-0"), { type: "nemesis", fault: "x" }, handled("w-0")], { minFaults: 1 }).vacuous,
    ).toBe(false);
  });
});

it("takes any id, and tells ids that look alike apart", () => {
  const ids = ["01938f6e-7c1a-7000-8000-123456789012", "plain", "w-007", "w-7", "-1", "w-99999999"];
  const lost = ids[0] as string;

  expect(anomalies(ids.map((id) => [published(id), handled(id)]))).toEqual([]);
  expect(
    judge([...ids.map((id) => published(id)), ...ids.slice(1).map((id) => handled(id))]).findings[0]
      ?.examples,
  ).toEqual([`${lost} in ${GROUP}`]);
});

it("judges a history that is generated piece by piece without keeping it", () => {
  const count = 200_000;
  function* history(): Generator<HistoryEvent> {
    for (let at = 0; at < count; at++) {
      const id = `w${at % 8}-${at >> 3}`;
      yield { type: "pub.invoke", id, channel: "c", key: `k${at % 100}`, hash: at + 1, at };
      yield { type: "pub.ok", id, at };
      yield { type: "start", id, group: GROUP, attempt: 1, consumer: "one", hash: at + 1, at };
      yield { type: "commit.ok", id, group: GROUP, at };
      yield { type: "ack.ok", id, group: GROUP, at };
    }
  }

  const verdict = check(history(), { order: "strict" });

  expect(verdict).toMatchObject({ ok: true, tally: { acked: count, handled: count, lost: 0 } });
});
