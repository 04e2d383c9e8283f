import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { attemptsFor, retryPolicy, type RetryOptions } from "./retry.ts";

/** The waits after attempts 1, 2, 3, …; undefined where there is no further attempt. */
function waits(options: RetryOptions, attempts: number): (number | undefined)[] {
  const policy = retryPolicy(options);
  return Array.from({ length: attempts }, (_none, at) => policy.delayAfter(at + 1));
}

describe("a retry policy", () => {
  it("is three attempts, waiting 1 s and 2 s, unless said otherwise", () => {
    expect(retryPolicy().maxAttempts).toBe(3);
    expect(waits({}, 4)).toEqual([1000, 2000, undefined, undefined]);
  });

  it("doubles the wait up to 30 s", () => {
    expect(waits({ maxAttempts: 10 }, 8)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  it.each([0, 1])("of %i attempts is no retry: the handler runs once", (maxAttempts) => {
    expect(retryPolicy({ maxAttempts }).maxAttempts).toBe(1);
    expect(waits({ maxAttempts }, 1)).toEqual([undefined]);
  });

  it.each([
    ["exponential", [10, 30, 90, 100]],
    ["linear", [10, 20, 30, 40]],
    ["constant", [10, 10, 10, 10]],
  ] as const)("grows %s", (strategy, expected) => {
    const backoff = { strategy, initialDelayMs: 10, multiplier: 3, maxDelayMs: 100 };
    expect(waits({ maxAttempts: 5, backoff }, 4)).toEqual(expected);
  });

  it("never waits longer than its maximum, however often it failed", () => {
    expect(waits({ maxAttempts: 5000 }, 4999).at(-1)).toBe(30_000);
  });

  it.each([
    [true, 0.2],
    [0.5, 0.5],
    [false, 0],
    [0, 0],
  ])("with jitter %s spreads the wait by %d of it, up and down", (jitter, spread) => {
    const at = (random: number) => retryPolicy({ backoff: { jitter } }, () => random).delayAfter(1);
    expect(at(0)).toBeCloseTo(1000 * (1 - spread), 6);
    expect(at(0.5)).toBeCloseTo(1000, 6);
    expect(at(1)).toBeCloseTo(1000 * (1 + spread), 6);
  });

  it.each<[string, RetryOptions]>([
    ["retry.maxAttempts", { maxAttempts: 2.5 }],
    ["retry.maxAttempts", { maxAttempts: Number.NaN }],
    ["retry.maxAttempts", { maxAttempts: -1 }],
    ["retry.maxAttempts", { maxAttempts: Infinity }],
    ["retry.maxAttempts", { maxAttempts: "3" as never }],
    ["retry.maxAttempts", { maxAttempts: 3n as never }],
    ["retry.backoff.initialDelayMs", { backoff: { initialDelayMs: -1 } }],
    ["retry.backoff.initialDelayMs", { backoff: { initialDelayMs: "1s" as never } }],
    ["retry.backoff.maxDelayMs", { backoff: { maxDelayMs: Number.NaN } }],
    ["retry.backoff.multiplier", { backoff: { multiplier: 0.5 } }],
    ["retry.backoff.jitter", { backoff: { jitter: 1.5 } }],
    ["retry.backoff.jitter", { backoff: { jitter: -0.1 } }],
    ["retry.backoff.strategy", { backoff: { strategy: "fibonacci" as never } }],
    ["retry.backoff.strategy", { backoff: { strategy: "__proto__" as never } }],
    ["retry.backoff.strategy", { backoff: { strategy: "constructor" as never } }],
  ])("refuses a bad %s, naming it", (field, options) => {
    expect(() => retryPolicy(options)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        details: { field },
        message: expect.stringContaining(field),
      }),
    );
  });

  it("gives every attempt but the last a finite wait of 0 or more, whatever is accepted", () => {
    const number = fc.double({ noNaN: true, min: 0, max: 1e9 });
    const options = fc.record({
      maxAttempts: fc.integer({ min: 0, max: 50 }),
      backoff: fc.record({
        strategy: fc.constantFrom("exponential" as const, "linear" as const, "constant" as const),
        initialDelayMs: number,
        maxDelayMs: number,
        multiplier: fc.double({ noNaN: true, min: 1, max: 1e6 }),
        jitter: fc.double({ noNaN: true, min: 0, max: 1 }),
      }),
    });
    fc.assert(
      fc.property(options, fc.integer({ min: 1, max: 60 }), (given, attempt) => {
        const policy = retryPolicy(given);
        const wait = policy.delayAfter(attempt);
        if (attempt >= policy.maxAttempts) expect(wait).toBeUndefined();
        else {
          expect(wait).toBeGreaterThanOrEqual(0);
          expect(wait).toBeLessThanOrEqual(given.backoff.maxDelayMs * 2);
        }
      }),
    );
  });
});

describe("the attempts of one message", () => {
  const said = (value: string | undefined, maxAttempts: number): number =>
    attemptsFor({ headers: value === undefined ? {} : { "x-max-attempts": value } }, maxAttempts);

  it("are the subscription's, unless its publisher says otherwise", () => {
    expect([said(undefined, 3), said("5", 3), said("1", 3)]).toEqual([3, 5, 1]);
  });

  it("are no more than a thousand, whoever asks for more", () => {
    expect([said("1000", 3), said("9999", 3)]).toEqual([1000, 1000]);
  });

  it.each(["", "0", "-1", "2.5", "1e3", "abc", "10000", " 5", "05"])(
    "are the subscription's when the header is '%s'",
    (value) => {
      expect(said(value, 3)).toBe(3);
    },
  );

  it("are not raised where nothing is tried again, nor counted where attempts are not", () => {
    expect([said("5", 1), said("5", Infinity)]).toEqual([1, Infinity]);
  });

  it("wait as long as the policy's own would", () => {
    const policy = retryPolicy();
    expect([
      policy.delayAfter(3),
      policy.delayAfter(3, 5),
      policy.delayAfter(5, 5),
      policy.delayAfter(1, 1),
    ]).toEqual([undefined, 4000, undefined, undefined]);
  });
});
