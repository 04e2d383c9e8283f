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
  handled,
  anomalies,
  type Line,
  type Lines,
} from "../../../test/support/histories.ts";
import type { CheckOptions } from "./options.ts";
import { ANOMALIES, type Anomaly } from "./verdict.ts";

interface Example {
  readonly bad: Lines;
  readonly good: Lines;
  readonly options?: CheckOptions;
}

const three = ["w-0", "w-1", "w-2"].flatMap((id) => published(id));

const EXAMPLES: Record<Anomaly, Example> = {
  "lost-prefix": {
    bad: [three, handled("w-1"), handled("w-2")],
    good: [three, handled("w-0"), handled("w-1"), handled("w-2")],
  },
  "lost-middle": {
    bad: [three, handled("w-0"), handled("w-2")],
    good: [three, handled("w-0"), dlq("w-1", "rejected"), handled("w-2")],
  },
  "lost-postfix": {
    bad: [three, handled("w-0"), handled("w-1")],
    good: [three, handled("w-0"), handled("w-1"), event("pending", "w-2")],
  },
  phantom: {
    bad: [three, handled("w-0"), handled("w-1"), handled("w-2"), start("x-9")],
    good: [three, handled("w-0", { channel: "c" }), handled("w-1"), handled("w-2")],
  },
  "failed-but-delivered": {
    bad: [invoke("w-0"), { type: "pub.fail", id: "w-0", code: "OVERLOADED" }, handled("w-0")],
    good: [invoke("w-0"), { type: "pub.info", id: "w-0", code: "TIMEOUT" }, handled("w-0")],
  },
  "duplicate-effect": {
    bad: [
      published("w-0"),
      start("w-0"),
      nack("w-0"),
      start("w-0", { attempt: 2 }),
      event("commit.ok", "w-0"),
      event("commit.ok", "w-0"),
    ],
    good: [published("w-0"), start("w-0"), nack("w-0"), handled("w-0", { attempt: 2 })],
    options: { guarantee: "exactly-once" },
  },
  "missing-effect": {
    bad: [published("w-0"), start("w-0"), event("ack.ok", "w-0")],
    good: [published("w-0"), start("w-0"), event("fail", "w-0"), dlq("w-0", "rejected")],
  },
  reorder: {
    bad: [published("w-0", { key: "k" }), published("w-1", { key: "k" }), handled("w-1"), handled("w-0")],
    good: [
      invoke("w-0", { key: "k" }),
      published("w-1", { key: "k" }),
      ok("w-0"),
      handled("w-1"),
      handled("w-0"),
    ],
    options: { order: "relaxed" },
  },
  corrupt: {
    bad: [published("w-0", { hash: 7 }), handled("w-0", { hash: 8 })],
    good: [published("w-0", { hash: 7 }), handled("w-0", { hash: 7 })],
  },
  resurrect: {
    bad: [published("w-0"), handled("w-0"), handled("w-0", { attempt: 2 })],
    good: [published("w-0"), published("w-0"), handled("w-0"), handled("w-0")],
  },
  "early-dlq": {
    bad: [published("w-0"), start("w-0"), event("fail", "w-0"), dlq("w-0", "attempts")],
    good: [
      published("w-0"),
      start("w-0"),
      event("fail", "w-0"),
      nack("w-0"),
      start("w-0", { attempt: 2 }),
      event("fail", "w-0"),
      dlq("w-0", "attempts"),
    ],
    options: { maxAttempts: 2 },
  },
  "extra-attempt": {
    bad: [published("w-0"), start("w-0"), nack("w-0"), handled("w-0", { attempt: 3 })],
    good: [published("w-0"), start("w-0"), nack("w-0"), handled("w-0", { attempt: 2 })],
  },
  "lost-attempt": {
    bad: [published("w-0"), start("w-0"), nack("w-0"), handled("w-0", { attempt: 1 })],
    good: [published("w-0"), start("w-0"), release("w-0"), handled("w-0", { attempt: 1 })],
  },
  early: {
    bad: [published("w-0", { notBefore: 100 }), handled("w-0", { at: 99 })],
    good: [published("w-0", { notBefore: 100 }), handled("w-0", { at: 100 })],
  },
  "expired-run": {
    bad: [published("w-0", { expiresAt: 100 }), handled("w-0", { at: 151 })],
    good: [published("w-0", { expiresAt: 100 }), handled("w-0", { at: 150 })],
  },
  "counter-drift": {
    bad: [published("w-0"), handled("w-0"), { type: "counters", group: GROUP, acked: 1, handled: 2 }],
    good: [
      published("w-0"),
      handled("w-0"),
      { type: "counters", group: GROUP, acked: 1, handled: 1, deadLettered: 0, expired: 0, pending: 0 },
    ],
  },
  stuck: {
    bad: [
      published("w-0"),
      { type: "nemesis", fault: "pause" },
      { type: "heal" },
      { ...event("commit.ok", "w-0"), at: 500 },
    ],
    good: [
      published("w-0"),
      { type: "nemesis", fault: "pause" },
      { type: "heal" },
      { ...event("commit.ok", "w-0"), at: 90 },
    ],
    options: { healWithinMs: 100 },
  },
  "hung-publish": {
    bad: [invoke("w-0")],
    good: [published("w-0"), handled("w-0")],
  },
  "silent-loss": {
    bad: [three, handled("w-0"), { type: "data-loss", count: 1 }],
    good: [three, handled("w-0"), { type: "data-loss", count: 2 }],
    options: { durable: false },
  },
  "split-brain": {
    bad: [published("w-0"), handled("w-0"), drain("a"), drain("b")],
    good: [published("w-0"), handled("w-0"), drain("a")],
  },
};

function drain(by: string): Line {
  return { type: "drain", epoch: 1, id: `of-${by}-0`, by };
}

describe("every anomaly", () => {
  it.each(ANOMALIES)("finds %s where it is, and nothing else", (anomaly) => {
    const { bad, options } = EXAMPLES[anomaly];

    expect(anomalies(bad, options)).toEqual([anomaly]);
  });

  it.each(ANOMALIES)("finds no %s in the history that looks like it and is right", (anomaly) => {
    const { good, options } = EXAMPLES[anomaly];

    expect(anomalies(good, options)).toEqual([]);
  });
});
