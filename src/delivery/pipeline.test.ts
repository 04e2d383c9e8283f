import { describe, expect, it } from "vitest";
import { delivery, handlingOf } from "../../test/support/consuming.ts";
import type { Delivery } from "../core/delivery.ts";
import { HeraldError, RejectError, SnoozeError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { Handler, HandlerContext } from "../core/middleware.ts";
import type { Outcome } from "../core/outcome.ts";
import { FakeClock, settlePromises } from "../testing/fake-clock.ts";
import { currentDelivery, DeliveryContext } from "./context.ts";
import { runPipeline } from "./pipeline.ts";
import type { Handling } from "./stages.ts";

/** Runs one delivery; resolves to its outcome, however it came. */
function run(handler: Handler, of: Delivery = delivery(), more: Partial<Handling> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const context = new DeliveryContext(of, "a", "g");
    const outcome = runPipeline(context, handlingOf(handler, new FakeClock(), more), (_run, late) =>
      resolve(late),
    );
    if (outcome !== undefined) resolve(outcome);
  });
}

const never: Handler = () => {
  throw new Error("This handler must not start.");
};
const NOW = new FakeClock().now();

describe("a message's way", () => {
  it("ends at the first stage with an outcome, in this order: addressed, expired, decoded, filtered, validated", async () => {
    const everything = {
      headers: { "x-redrive-group": "other" },
      expiresAt: NOW,
      body: new Uint8Array([0xff]),
    };
    const reject = {
      filter: () => false,
      validate: () => Promise.reject(new HeraldError("SCHEMA_VIOLATION", "No.")),
    };

    const outcomes = [
      await run(never, delivery(everything), reject),
      await run(never, delivery({ ...everything, headers: {} }), reject),
      await run(never, delivery({ body: everything.body }), reject),
      await run(never, delivery(), reject),
      await run(never, delivery(), { validate: reject.validate }),
    ];

    expect(outcomes).toMatchObject([
      { kind: "skipped", reason: "addressed" },
      { kind: "expired" },
      { kind: "rejected", error: { code: "MALFORMED" } },
      { kind: "skipped", reason: "filtered" },
      { kind: "rejected", error: { code: "SCHEMA_VIOLATION" } },
    ]);
  });

  it("does not reach the handler once the attempts are used up by processes that died", async () => {
    let starts = 0;
    const counting: Handler = () => void starts++;

    const last = await run(counting, delivery({}, { attempt: 3 }), { maxAttempts: 3 });
    const spent = await run(counting, delivery({}, { attempt: 4 }), { maxAttempts: 3 });

    expect(last).toEqual({ kind: "handled" });
    expect(spent).toMatchObject({ kind: "failed", error: { code: "HANDLER_FAILED" } });
    expect(starts).toBe(1);
  });

  it("leads to the handler, which gets the message and its context", async () => {
    const seen: [Message, HandlerContext][] = [];
    const one = delivery({ id: "m", payload: { a: 1 }, channel: "c" }, { attempt: 2, position: "17" });

    expect(await run((message, context) => void seen.push([message, context]), one)).toEqual({
      kind: "handled",
    });
    const [message, context] = seen[0] as [Message, HandlerContext];
    expect(message).toMatchObject({ id: "m", channel: "c", payload: { a: 1 }, metadata: { retryCount: 1 } });
    expect(context).toMatchObject({
      attempt: 2,
      redelivered: true,
      group: "g",
      agentId: "a",
      position: "17",
    });
    expect(new TextDecoder().decode(context.body)).toBe('{"a":1}');
    expect(context.signal.aborted).toBe(false);
  });

  it("goes on after a stage that had to wait", async () => {
    const validate = (): Promise<void> => settlePromises();
    let handled = 0;

    expect(await run(() => void handled++, delivery(), { validate })).toEqual({ kind: "handled" });
    expect(await run(async () => void handled++, delivery(), { validate })).toEqual({ kind: "handled" });
    expect(await run(() => Promise.reject(new Error("no")), delivery(), { validate })).toMatchObject({
      kind: "failed",
    });
    expect(handled).toBe(2);
  });

  it("ends at a filter or a validation that throws, the handler not started", async () => {
    const broken = () => {
      throw new TypeError("broken");
    };
    expect(await run(never, delivery(), { filter: broken })).toMatchObject({
      kind: "failed",
      error: { code: "HANDLER_FAILED", message: "broken" },
    });
    expect(await run(never, delivery(), { validate: broken })).toMatchObject({ kind: "failed" });
  });

  it("ends at once for a message that another group is to handle again", async () => {
    const redriven = (group: string) => delivery({ headers: { "x-redrive-group": group } });
    let handled = 0;
    const count: Handler = () => void handled++;

    expect(await run(count, redriven("other"))).toEqual({ kind: "skipped", reason: "addressed" });
    expect(await run(count, redriven(""))).toEqual({ kind: "skipped", reason: "addressed" });
    expect(await run(count, redriven(""), { group: null })).toEqual({ kind: "handled" });
    expect(await run(count, redriven("g"))).toEqual({ kind: "handled" });
    expect(handled).toBe(2);
  });

  it("ends for a message exactly at its expiry, not before", async () => {
    expect(await run(never, delivery({ expiresAt: NOW }))).toEqual({ kind: "expired" });
    expect(await run(() => {}, delivery({ expiresAt: NOW + 1 }))).toEqual({ kind: "handled" });
  });

  it("gives two handlers of one envelope payloads of their own", async () => {
    const one = delivery({ payload: { list: [1] } });
    const seen: unknown[] = [];
    const spoil: Handler = ({ payload }, { body }) => {
      seen.push(structuredClone(payload));
      (payload as { list: number[] }).list.push(2);
      body.fill(0);
    };
    await run(spoil, one);
    await run(spoil, one);

    expect(seen).toEqual([{ list: [1] }, { list: [1] }]);
  });

  it("keeps the delivery at hand in whatever the handler does, and nowhere else", async () => {
    let inside: string | undefined;
    await run(
      async () => {
        await settlePromises();
        inside = currentDelivery.getStore()?.envelope.id;
      },
      delivery({ id: "m" }),
    );

    expect(inside).toBe("m");
    expect(currentDelivery.getStore()).toBeUndefined();
  });
});

describe("bytes that cannot be read", () => {
  it.each<[string, Uint8Array, string]>([
    ["not JSON", new TextEncoder().encode("{"), "MALFORMED"],
    ["empty", new Uint8Array(), "MALFORMED"],
    ["not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "MALFORMED"],
    ["an unsafe integer", new TextEncoder().encode("9007199254740993"), "MALFORMED"],
    ["a poisoned key", new TextEncoder().encode('{"__proto__":1}'), "UNSAFE_PAYLOAD"],
    ["too deep", new TextEncoder().encode("[".repeat(65) + "]".repeat(65)), "DEPTH_LIMIT"],
  ])("(%s) are given up on at once, the handler not started", async (_name, body, code) => {
    expect(await run(never, delivery({ body }))).toMatchObject({ kind: "rejected", error: { code } });
  });
});

describe("what a handler throws", () => {
  it.each<[string, unknown, object]>([
    ["an Error", new Error("no"), { kind: "failed", error: { code: "HANDLER_FAILED", message: "no" } }],
    [
      "a RejectError",
      new RejectError("never"),
      { kind: "rejected", error: { code: "REJECTED", message: "never" } },
    ],
    ["a SnoozeError", new SnoozeError(500), { kind: "snoozed", delayMs: 500 }],
    [
      "a Herald error that may get better",
      new HeraldError("OVERLOADED", "full"),
      { kind: "failed", error: { code: "OVERLOADED" } },
    ],
    [
      "a Herald error that cannot",
      new HeraldError("FORBIDDEN", "no"),
      { kind: "rejected", error: { code: "FORBIDDEN" } },
    ],
    ["one that says so itself", new HeraldError("FORBIDDEN", "no", { retryable: true }), { kind: "failed" }],
    ["a code of its author's own", new HeraldError("OUT_OF_STOCK", "no"), { kind: "rejected" }],
    ["a string", "no luck", { kind: "failed", error: { code: "HANDLER_FAILED", message: "no luck" } }],
    ["undefined", undefined, { kind: "failed" }],
    ["null", null, { kind: "failed" }],
    ["a symbol", Symbol("no"), { kind: "failed" }],
    ["an object without a prototype", Object.create(null), { kind: "failed" }],
    ["an Error with line breaks", new Error("a\r\nb"), { kind: "failed", error: { message: "a b" } }],
  ])(
    "%s: at once, later, and from a stage that waited, it comes to the same",
    async (_name, thrown, outcome) => {
      const at: Handler[] = [
        () => {
          throw thrown;
        },
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- what is not an Error is what is tried.
        () => Promise.reject(thrown),
        async () => {
          await settlePromises();
          throw thrown;
        },
      ];
      for (const handler of at) {
        expect(await run(handler)).toMatchObject(outcome);
        expect(await run(handler, delivery(), { validate: () => Promise.resolve() })).toMatchObject(outcome);
      }
    },
  );

  it("that refuses to be read is a failure like any other", async () => {
    const trap = (): never => {
      throw new Error("no");
    };
    const hostile = new Proxy({}, { get: trap, has: trap, getPrototypeOf: trap, ownKeys: trap });

    expect(
      await run(() => {
        throw hostile;
      }),
    ).toMatchObject({ kind: "failed", error: { code: "HANDLER_FAILED" } });
  });
});

describe("what a handler returns", () => {
  it.each([0, "", null, false, {}, [], { then: 1 }, () => {}])("%#: it is handled", async (value) => {
    expect(await run(() => value)).toEqual({ kind: "handled" });
    expect(await run(() => Promise.resolve(value))).toEqual({ kind: "handled" });
  });

  it("is waited for when it is a thenable that is no promise", async () => {
    let ended = false;
    const thenable = (end: (resolve: () => void, reject: (error: Error) => void) => void): object => ({
      // oxlint-disable-next-line unicorn/no-thenable -- a thenable is what is tried.
      then: (resolve: () => void, reject: (error: Error) => void) => setImmediate(() => end(resolve, reject)),
    });
    const good = thenable((resolve) => {
      ended = true;
      resolve();
    });

    expect(await run(() => good)).toEqual({ kind: "handled" });
    expect(ended).toBe(true);
    expect(await run(() => thenable((_resolve, reject) => reject(new Error("late"))))).toMatchObject({
      kind: "failed",
      error: { message: "late" },
    });
  });
});

describe("a handler that speaks through its context", () => {
  const manual = { manual: true };

  it("is not done before it has said so, in manual mode", async () => {
    let context: HandlerContext | undefined;
    let outcome: Outcome | undefined;
    void run((_message, given) => void (context = given), delivery(), manual).then(
      (ended) => (outcome = ended),
    );
    await settlePromises();
    expect(outcome).toBeUndefined();

    context?.ack();
    await settlePromises();
    expect(outcome).toEqual({ kind: "handled" });
  });

  it("may speak before it ends", async () => {
    const ack: Handler = async (_message, context) => {
      context.ack();
      await settlePromises();
    };
    expect(await run(ack, delivery(), manual)).toEqual({ kind: "handled" });
  });

  it.each<[string, Parameters<HandlerContext["nack"]>[0], object]>([
    ["for a retry by policy", undefined, { kind: "failed", error: { code: "HANDLER_FAILED" } }],
    [
      "for a retry with its reason",
      { reason: "no paper" },
      { kind: "failed", error: { code: "HANDLER_FAILED", message: "no paper" } },
    ],
    ["for a retry after its own wait", { delayMs: 5 }, { kind: "nacked", delayMs: 5 }],
    [
      "for the dead letters with its reason",
      { requeue: false, reason: "no paper" },
      { kind: "rejected", error: { message: "no paper" } },
    ],
    ["for the dead letters", { requeue: false }, { kind: "rejected", error: { code: "REJECTED" } }],
  ])("gives the message back %s", async (_name, options, outcome) => {
    const nack: Handler = (_message, context) => context.nack(options);
    expect(await run(nack, delivery(), manual)).toMatchObject(outcome);
    expect(await run(nack)).toMatchObject(outcome);
  });

  it("is taken at its first word", async () => {
    const both: Handler = (_message, context) => {
      context.nack({ delayMs: 1 });
      context.ack();
      context.nack({ requeue: false });
    };
    expect(await run(both, delivery(), manual)).toMatchObject({ kind: "nacked", delayMs: 1 });
  });
});
