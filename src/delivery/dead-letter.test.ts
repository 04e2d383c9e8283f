import { describe, expect, it } from "vitest";
import { delivery } from "../../test/support/consuming.ts";
import type { Delivery } from "../core/delivery.ts";
import { HeraldError } from "../core/errors.ts";
import {
  factsOf,
  isDeadLetter,
  originalHeaders,
  toDeadLetter,
  toRedriven,
  type DeadLetterFacts,
} from "./dead-letter.ts";

const NOW = Date.UTC(2026, 0, 1);
const error = new HeraldError("HANDLER_FAILED", "It did not work.");

function letterOf(of: Delivery = delivery(), more: Partial<Parameters<typeof toDeadLetter>[0]> = {}) {
  return toDeadLetter({ delivery: of, error, agentId: "a", group: "g", channel: "dlq.a", now: NOW, ...more });
}

function redriven(of: Delivery, now = NOW + 1000, more: Partial<Parameters<typeof toDeadLetter>[0]> = {}) {
  const letter = letterOf(of, more);
  return toRedriven(letter, factsOf(letter) as DeadLetterFacts, now);
}

describe("a dead letter", () => {
  it("is the message with its own bytes and attributes, on the dead-letter channel", () => {
    const one = delivery({
      id: "m",
      source: "s",
      key: "k",
      priority: 3,
      correlationId: "talk",
      headers: { h: "1" },
      hops: 4,
    });
    const letter = letterOf(one);

    expect(letter).toMatchObject({
      id: "m",
      source: "s",
      channel: "dlq.a",
      key: "k",
      priority: 3,
      correlationId: "talk",
      hops: 4,
    });
    expect(letter.body).toBe(one.envelope.body);
    expect(letter.headers["h"]).toBe("1");
    expect(isDeadLetter(letter)).toBe(true);
    expect(isDeadLetter(one.envelope)).toBe(false);
  });

  it("says in x-dlq headers why, where, by whom and when it was given up on", () => {
    const failures = [
      { attempt: 1, code: "HANDLER_FAILED", message: "first", at: NOW - 3000 },
      { attempt: 2, code: "HANDLER_TIMEOUT", message: "second", at: NOW - 2000 },
    ];
    const letter = letterOf(delivery({ channel: "orders" }, { attempt: 3, failures }));

    expect(letter.headers).toMatchObject({
      "x-dlq-channel": "orders",
      "x-dlq-group": "g",
      "x-dlq-agent": "a",
      "x-dlq-code": "HANDLER_FAILED",
      "x-dlq-reason": "It did not work.",
      "x-dlq-attempts": "3",
      "x-dlq-first-failed-at": "2025-12-31T23:59:57.000Z",
      "x-dlq-last-failed-at": "2026-01-01T00:00:00.000Z",
    });
    expect(factsOf(letter)).toEqual({
      channel: "orders",
      group: "g",
      agentId: "a",
      code: "HANDLER_FAILED",
      reason: "It did not work.",
      attempts: 3,
      failures: [...failures, { attempt: 3, code: "HANDLER_FAILED", message: "It did not work.", at: NOW }],
      firstFailedAt: NOW - 3000,
      lastFailedAt: NOW,
    });
  });

  it("keeps the latest twenty failures, and the time of the very first", () => {
    const failures = Array.from({ length: 40 }, (_none, at) => ({
      attempt: at + 1,
      code: "X",
      message: "m",
      at: NOW - 100 + at,
    }));
    const facts = factsOf(letterOf(delivery({}, { attempt: 41, failures })));

    expect(facts?.failures.map(({ attempt }) => attempt)).toEqual(
      Array.from({ length: 20 }, (_none, at) => at + 22),
    );
    expect(facts?.firstFailedAt).toBe(NOW - 100);
  });

  it("has reasons that fit into one line of a header, whatever was thrown", () => {
    const hostile = new HeraldError("HANDLER_FAILED", `a\r\nx-evil: 1\u0000\u001b[31m${"x".repeat(10_000)}`);
    const letter = letterOf(delivery(), { error: hostile });

    for (const value of Object.values(letter.headers)) {
      // oxlint-disable-next-line no-control-regex -- control characters are what must not be there.
      expect(value).not.toMatch(/[\u0000-\u001f\u007f]/);
      expect(value.length).toBeLessThan(2000);
    }
  });

  it("is neither late, nor early, nor an answer to somebody", () => {
    expect(letterOf(delivery({ expiresAt: NOW - 1, deliverAt: NOW + 1, replyTo: "reply.x" }))).toMatchObject({
      expiresAt: undefined,
      deliverAt: undefined,
      replyTo: undefined,
    });
  });

  it("of a broadcast names no group, also when a foreign message claims one", () => {
    const letter = letterOf(delivery({ headers: { "x-dlq-group": "forged" } }), { group: null });

    expect(factsOf(letter)?.group).toBeNull();
  });

  it("gives its author's headers back, without those that it added", () => {
    expect(originalHeaders(letterOf(delivery({ headers: { h: "1" } })))).toEqual({ h: "1" });
    expect(originalHeaders(delivery().envelope)).toEqual({});
  });
});

describe("the facts", () => {
  it("of a message that is no dead letter are none", () => {
    expect(factsOf(delivery().envelope)).toBeUndefined();
  });

  it("of a dead letter that another tool wrote are what can be read", () => {
    const foreign = (headers: Record<string, string>) => factsOf(delivery({ headers }).envelope);

    expect(foreign({ "x-dlq-channel": "c" })).toMatchObject({
      channel: "c",
      group: null,
      agentId: "",
      code: "INTERNAL",
      attempts: 0,
    });
    expect(foreign({ "x-dlq-channel": "c", "x-dlq-failures": "{" })?.failures).toEqual([]);
    expect(foreign({ "x-dlq-channel": "c", "x-dlq-failures": '{"a":1}' })?.failures).toEqual([]);
  });
});

describe("a redriven message", () => {
  it("is the message as it was, for its own channel and the group that gave up", () => {
    const one = delivery({
      id: "m",
      channel: "orders",
      headers: { h: "1" },
      replyTo: "reply.x",
      expiresAt: NOW + 60_000,
    });

    expect(redriven(one)).toEqual({
      ...one.envelope,
      headers: {
        h: "1",
        "x-redrive-count": "1",
        "x-redrive-at": "2026-01-01T00:00:01.000Z",
        "x-redrive-group": "g",
      },
    });
  });

  it("counts how often it was sent back", () => {
    const once = redriven(delivery());
    expect(redriven({ ...delivery(), envelope: once }).headers["x-redrive-count"]).toBe("2");
  });

  it("counts from one where the count it came with is none", () => {
    for (const count of ["abc", "-5", "1e999", "1.5"]) {
      expect(redriven(delivery({ headers: { "x-redrive-count": count } })).headers["x-redrive-count"]).toBe(
        "1",
      );
    }
  });

  it("of a broadcast goes to the broadcast subscriptions and to no group", () => {
    expect(redriven(delivery(), NOW, { group: null }).headers["x-redrive-group"]).toBe("");
  });

  it("does not expire again at once: an expiry that has passed is gone, one that has not stays", () => {
    expect(redriven(delivery({ expiresAt: NOW + 1000 })).expiresAt).toBeUndefined();
    expect(redriven(delivery({ expiresAt: NOW + 1001 })).expiresAt).toBe(NOW + 1001);
  });
});
