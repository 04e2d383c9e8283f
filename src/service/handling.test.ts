import { describe, expect, it } from "vitest";
import { RejectError, SnoozeError } from "../core/errors.ts";
import type { Handler } from "../core/middleware.ts";
import { world } from "../../test/support/agents.ts";

/** A handler that keeps the payloads it gets. */
function keeping(): { readonly got: unknown[]; readonly handler: Handler } {
  const got: unknown[] = [];
  return { got, handler: (message) => void got.push(message.payload) };
}

describe("where a new group starts", () => {
  it("is now by default, the earliest, a position, or a time", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const positions: string[] = [];
    const times: number[] = [];
    await service.subscribe("x", (_message, context) => void positions.push(context.position), {
      group: "positions",
    });
    for (let n = 0; n < 4; n++) {
      times.push(clock.now());
      await service.publish("x", n);
      await clock.advanceAsync(1000);
    }
    const starts = {
      none: {},
      new: { from: "new" },
      earliest: { from: "earliest" },
      position: { from: { position: positions[2] ?? "" } },
      time: { from: { time: times[1] ?? 0 } },
    } as const;
    const got: Record<string, unknown[]> = {};
    for (const [group, from] of Object.entries(starts)) {
      const kept = keeping();
      got[group] = kept.got;
      await service.subscribe("x", kept.handler, { group, ...from });
    }

    await service.publish("x", "last");

    await expect
      .poll(() => got)
      .toEqual({
        none: ["last"],
        new: ["last"],
        earliest: [0, 1, 2, 3, "last"],
        position: [2, 3, "last"],
        time: [1, 2, 3, "last"],
      });
  });

  it("is where it stopped for a group that is not new", async () => {
    const { agent } = world();
    const service = await agent("a");
    const { got, handler } = keeping();
    await service.publish("x", 1);
    await (await service.subscribe("x", handler)).unsubscribe();
    await service.publish("x", 2);

    await service.subscribe("x", handler, { from: "earliest" });

    await expect.poll(() => got).toEqual([2]);
  });
});

describe("a handler's word", () => {
  it("by throwing is retried after 1 s and 2 s, then a dead letter with each error and its time", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const attempts: string[] = [];
    await service.subscribe("x", (message, context) => {
      attempts.push(
        `${clock.monotonic()} ${context.attempt} ${message.metadata.retryCount} ${context.redelivered}`,
      );
      throw new Error(`no ${context.attempt}`);
    });

    await service.publish("x", 1);
    await clock.advanceAsync(3000);

    expect(attempts).toEqual(["0 1 0 false", "1000 2 1 true", "3000 3 2 true"]);
    await expect.poll(async () => (await service.deadLetters.list()).length).toBe(1);
    const [letter] = await service.deadLetters.list();
    expect(letter).toMatchObject({ code: "HANDLER_FAILED", attempts: 3, channel: "x", group: "a" });
    expect(letter?.failures.map(({ message }) => message)).toEqual(["no 1", "no 2", "no 3"]);
    expect(service.getMetrics()).toMatchObject({
      failed: 3,
      retried: 2,
      redelivered: 2,
      deadLettered: 1,
      handled: 0,
    });
  });

  it("by RejectError is a dead letter at once, by SnoozeError comes again later and uncounted", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const attempts: number[] = [];
    await service.subscribe("reject", () => {
      throw new RejectError("never");
    });
    await service.subscribe("snooze", (_message, context) => {
      attempts.push(context.attempt);
      if (attempts.length < 3) throw new SnoozeError(100);
    });

    await service.publish("reject", 1);
    await service.publish("snooze", 1);
    await clock.advanceAsync(200);

    expect(attempts).toEqual([1, 1, 1]);
    expect(service.getMetrics()).toMatchObject({ snoozed: 2, handled: 1, deadLettered: 1, retried: 0 });
    expect(await service.deadLetters.list()).toMatchObject([
      { code: "REJECTED", reason: "never", attempts: 1 },
    ]);
  });

  it("given through its context in manual mode is ack, nack with a delay, or nack to the dead letters", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const seen: string[] = [];
    const handler: Handler = (message, context) => {
      seen.push(`${clock.monotonic()} ${String(message.payload)} ${context.attempt}`);
      if (message.payload === "drop") context.nack({ requeue: false });
      else if (message.payload === "later" && context.attempt === 1) context.nack({ delayMs: 70 });
      else if (message.payload === "policy" && context.attempt === 1) context.nack();
      else context.ack();
    };
    await service.subscribe("x", handler, { ack: "manual" });

    for (const payload of ["ok", "drop", "later", "policy"]) await service.publish("x", payload);
    await clock.advanceAsync(1000);

    expect(seen).toEqual(["0 ok 1", "0 drop 1", "0 later 1", "0 policy 1", "70 later 2", "1000 policy 2"]);
    expect(await service.deadLetters.list()).toMatchObject([
      { code: "REJECTED", message: { payload: "drop" } },
    ]);
    expect((await service.getConsumerLag({ group: "a" })).map(({ lag }) => lag)).toEqual([0]);
  });

  it("that is not given in manual mode keeps the message in hand, whatever the handler returns", async () => {
    const { agent } = world();
    const service = await agent("a");
    const contexts: { ack(): void }[] = [];
    await service.subscribe("x", (_message, context) => contexts.push(context), { ack: "manual" });

    await service.publish("x", 1);
    await expect.poll(() => contexts).toHaveLength(1);
    const lag = async () =>
      (await service.getConsumerLag({ channel: "x" })).map(({ unsettled }) => unsettled);
    expect(await lag()).toEqual([1]);
    contexts[0]?.ack();

    await expect.poll(lag).toEqual([0]);
  });

  it("that does not come in time counts as a failure, and its signal fires", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { retry: { maxAttempts: 1 } });
    const reasons: unknown[] = [];
    const handler: Handler = (_message, { signal }) =>
      new Promise(() => signal.addEventListener("abort", () => reasons.push(signal.reason)));
    await service.subscribe("x", handler, { handlerTimeoutMs: 500 });

    await service.publish("x", 1);
    await clock.advanceAsync(499);
    expect(reasons).toEqual([]);
    await clock.advanceAsync(1);

    expect(reasons).toMatchObject([{ code: "HANDLER_TIMEOUT" }]);
    expect(await service.deadLetters.list()).toMatchObject([{ code: "HANDLER_TIMEOUT" }]);
  });
});

describe("an expired message", () => {
  it("is never started: counted and gone, or a dead letter where that is asked for", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const { got, handler } = keeping();
    for (const group of ["drop", "keep"]) {
      await (await service.subscribe("x", handler, { group })).unsubscribe();
    }

    await service.publish("x", "short", { ttlSeconds: 1 });
    await service.publish("x", "long", { ttlSeconds: 10 });
    await clock.advanceAsync(1000);
    await service.subscribe("x", handler, { group: "drop" });
    await service.subscribe("x", handler, { group: "keep", expiredToDlq: true });

    await expect.poll(() => got).toEqual(["long", "long"]);
    expect(service.getMetrics()).toMatchObject({ expired: 2, deadLettered: 1, delivered: 2 });
    expect(await service.deadLetters.list()).toMatchObject([
      { code: "EXPIRED", group: "keep", message: { payload: "short" } },
    ]);
  });
});

describe("dead letters", () => {
  it("are messages on dlq.<agentId>: subscribed, they are the original with x-dlq headers, and can be published again", async () => {
    const { agent } = world();
    const [service, operator] = [await agent("a", { retry: { maxAttempts: 1 } }), await agent("ops")];
    const got: unknown[] = [];
    await service.subscribe("x", (message) => {
      if (message.metadata.headers?.["repaired"] === undefined) throw new Error("broken");
      got.push(message.payload, message.metadata.headers);
    });
    await operator.subscribe("dlq.a", (letter) => {
      const { headers = {} } = letter.metadata;
      got.push(
        letter.id,
        letter.source,
        letter.payload,
        headers["tag"],
        headers["x-dlq-channel"],
        headers["x-dlq-reason"],
      );
      return operator.publish(headers["x-dlq-channel"] ?? "", letter.payload, {
        headers: { ...headers, repaired: "yes" },
      });
    });

    const id = await service.publish("x", { n: 1 }, { headers: { tag: "t" } });

    await expect
      .poll(() => got)
      .toEqual([id, "a", { n: 1 }, "t", "x", "broken", { n: 1 }, { tag: "t", repaired: "yes" }]);
  });

  it("go to the channel that the options or the manifest name, the options first", async () => {
    const { agent } = world();
    const retry = { maxAttempts: 1 };
    const messaging = { reliability: { dlq: { channel: "failures.manifest" } } };
    const [declared, chosen] = [
      await agent("a", { retry, messaging }),
      await agent("b", { retry, messaging, dlq: { channel: "failures.options" } }),
    ];
    for (const service of [declared, chosen]) {
      await service.subscribe("x", () => {
        throw new Error("no");
      });
    }

    await declared.publish("x", 1);

    await expect.poll(async () => (await chosen.deadLetters.list()).length).toBe(1);
    const places = await Promise.all([declared, chosen].map((service) => service.deadLetters.list()));
    expect(places.flat().map(({ agentId, deadLetterChannel }) => [agentId, deadLetterChannel])).toEqual([
      ["a", "failures.manifest"],
      ["b", "failures.options"],
    ]);
  });

  it("are kept for seven days, or as long as the options say", async () => {
    const { agent, clock } = world();
    const [week, day] = [
      await agent("week", { retry: { maxAttempts: 1 } }),
      await agent("day", { retry: { maxAttempts: 1 }, dlq: { retentionDays: 1 } }),
    ];
    for (const service of [week, day]) {
      await service.subscribe("x", () => {
        throw new Error("no");
      });
    }
    await week.publish("x", 1);
    const kept = async () => (await week.deadLetters.list()).map(({ agentId }) => agentId);
    await expect.poll(kept).toEqual(["day", "week"]);

    clock.advance(86_400_001);
    expect(await kept()).toEqual(["week"]);
    clock.advance(6 * 86_400_000);
    expect(await kept()).toEqual([]);
  });

  it("that are switched off are counted as discarded, and gone", async () => {
    const { agent, broker } = world();
    const service = await agent("a", { retry: { maxAttempts: 1 }, dlq: { enabled: false } });
    await service.subscribe("x", () => {
      throw new Error("no");
    });

    await service.publish("x", 1);

    await expect.poll(() => service.getMetrics()).toMatchObject({ failed: 1, discarded: 1, deadLettered: 0 });
    expect((await broker.inspect()).channels.map(({ channel }) => channel)).toEqual(["x"]);
    expect(await service.deadLetters.list()).toEqual([]);
  });

  it("are sent back by id to the group that gave up, and handled", async () => {
    const { agent } = world();
    const service = await agent("a", { retry: { maxAttempts: 1 } });
    const got: unknown[] = [];
    let isBroken = true;
    await service.subscribe("x", (message, context) => {
      if (isBroken) throw new Error("no");
      got.push(message.id, context.attempt);
    });
    const id = await service.publish("x", 1);
    await expect.poll(() => service.getMetrics().deadLettered).toBe(1);

    isBroken = false;
    expect(await service.deadLetters.redrive(id)).toBe(1);

    await expect.poll(() => got).toEqual([id, 1]);
    expect(await service.deadLetters.list()).toEqual([]);
  });
});

describe("the attempts that a publisher asks for", () => {
  it("hold for that message alone, more or fewer, and after a redrive too", async () => {
    const { agent } = world();
    const service = await agent("a", { retry: { maxAttempts: 2, backoff: { initialDelayMs: 0 } } });
    const starts: Record<string, number> = {};
    await service.subscribe<string>("x", ({ payload }) => {
      starts[payload] = (starts[payload] ?? 0) + 1;
      throw new Error("broken");
    });
    await service.publish("x", "plain");
    await service.publish("x", "more", { maxAttempts: 4 });
    await service.publish("x", "once", { maxAttempts: 1 });

    await expect.poll(() => service.deadLetters.list()).toHaveLength(3);
    expect(starts).toEqual({ plain: 2, more: 4, once: 1 });
    const letters = await service.deadLetters.list();
    expect(letters.map(({ attempts }) => attempts).toSorted()).toEqual([1, 2, 4]);

    await service.deadLetters.redrive();
    await expect.poll(() => starts).toEqual({ plain: 4, more: 8, once: 2 });
  });

  it("do not overrule a subscription that tries nothing again", async () => {
    const { agent } = world();
    const service = await agent("a", { retry: { maxAttempts: 1 } });
    let starts = 0;
    await service.subscribe("x", () => {
      starts++;
      throw new Error("broken");
    });
    await service.publish("x", 1, { maxAttempts: 5 });

    await expect.poll(() => service.deadLetters.list()).toMatchObject([{ attempts: 1 }]);
    expect(starts).toBe(1);
  });
});
