import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { HeraldError, MemoryInbox, MessagingService, RejectError } from "../src/index.ts";
import { FakeClock } from "../src/testing/fake-clock.ts";
import { codeOf, siege } from "./support/siege.ts";

/** A logger of the real kind whose lines are kept. */
function logged() {
  const lines: string[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  return { logger, lines };
}

describe("hostile texts in errors", () => {
  it("cannot forge a line of the log: one event is one line of JSON, whatever it says", async () => {
    const { logger, lines } = logged();
    const { time, broker, target, survives } = await siege({ logger });
    const evil = '\r\n{"level":60,"msg":"forged"}\r\n\u001b[2J\u2028\u0000';
    await target.subscribe("victim", ({ payload }) => {
      if (payload === "error") throw new Error(evil);
      if (payload === "reject") throw new RejectError(evil);
      if (payload === "cause") throw new HeraldError("OVERLOADED", evil, { cause: new Error(evil) });
      throw evil;
    });
    for (const payload of ["error", "reject", "cause", "text"]) await target.publish("victim", payload);
    await time.elapse(100);
    const publish = broker.publish.bind(broker);
    broker.publish = (envelopes, options) =>
      envelopes[0]?.channel === "dlq.target" ? Promise.reject(new Error(evil)) : publish(envelopes, options);
    await target.publish("victim", "unwritable");
    await time.elapse(100);
    broker.publish = publish;

    expect(lines.length).toBeGreaterThanOrEqual(6);
    for (const line of lines) {
      expect(line.trimEnd()).not.toMatch(/[\r\n]/);
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(Number) });
      expect((JSON.parse(line) as { msg: string }).msg).not.toBe("forged");
    }
    await survives();
  });

  it("cannot break the headers of a dead letter, nor fill it", async () => {
    const { time, target, survives } = await siege();
    await target.subscribe("victim", () => {
      throw new Error(`x\r\nSet-Cookie: a\u0000${"y".repeat(5_000_000)}`);
    });
    await target.publish("victim", 1, { id: "m" });
    await time.until(async () => (await target.deadLetters.stats()).total === 1, "the dead letter");

    const entry = await target.deadLetters.get("m");
    expect(entry?.reason.length).toBeLessThan(600);
    // oxlint-disable-next-line no-control-regex -- control characters are what must not be there.
    expect(entry?.reason).not.toMatch(/[\u0000-\u001f]/);
    await survives();
  });

  it("cannot keep a message in the broker's memory as failures: each is cut", async () => {
    const { time, target, survives } = await siege({ retry: { maxAttempts: 3 } });
    const huge = "z".repeat(1_000_000);
    await target.subscribe("victim", () => {
      throw new Error(huge);
    });
    await target.publish("victim", 1, { id: "m" });
    await time.until(async () => (await target.deadLetters.stats()).total === 1, "the dead letter");

    const entry = await target.deadLetters.get("m");
    expect(entry?.failures.map(({ message }) => message.length)).toEqual([501, 501, 501]);
    await survives();
  });
});

describe("a flood", () => {
  it("of publishes ends in OVERLOADED once too many wait for the broker, and passes", async () => {
    const { time, broker, target, survives } = await siege({ maxPendingPublishes: 1000 });
    let handled = 0;
    await target.subscribe("victim", () => void handled++);
    const results = Promise.allSettled(
      Array.from({ length: 100_000 }, (_none, at) => target.publish("victim", at)),
    );
    const refused = (await time.drive(results)).filter(({ status }) => status === "rejected");
    await time.elapse(0);

    expect(refused).toHaveLength(99_000);
    expect(refused[0]).toMatchObject({ reason: { code: "OVERLOADED", retryable: true } });
    expect(handled).toBe(1000);
    expect(await codeOf(() => target.publish("victim", 1))).toBe("accepted");
    expect((await broker.inspect()).dropped).toBe(0);
    await survives();
  });

  it("of messages that nobody acknowledges ends in OVERLOADED, and others are served when there is room", async () => {
    const { clock, time, target, survives } = await siege({}, { maxMessages: 100, overflow: "reject" });
    const subscription = await target.subscribe("victim", () => new Promise(() => {}), {
      handlerTimeoutMs: 1000,
    });
    const codes = await Promise.all(
      Array.from({ length: 150 }, () => codeOf(() => target.publish("victim", 1))),
    );
    expect(codes.filter((code) => code === "OVERLOADED").length).toBeGreaterThanOrEqual(50);
    expect(codes.filter((code) => code === "accepted").length).toBeGreaterThan(0);
    await time.drive(Promise.all([subscription.unsubscribe(), clock.advanceAsync(20_000)]));
    await target.subscribe("victim", () => {});
    await time.elapse(1000);
    await survives();
  });

  it("of channel names ends in OVERLOADED at the broker's limit; known channels, requests and dead letters go on", async () => {
    const { time, target, bystander, survives } = await siege({}, { maxChannels: 1000 });
    await bystander.subscribe("question", ({ payload }) => payload);
    await bystander.subscribe("hopeless", () => {
      throw new RejectError("never");
    });
    await bystander.publish("hopeless", 0);
    expect(await time.drive(bystander.request("question", 1))).toBe(1);
    const results = await time.drive(
      Promise.allSettled(Array.from({ length: 20_000 }, (_none, at) => target.publish(`flood.${at}`, at))),
    );

    const refused = results.filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(18_900);
    expect(refused[0]).toMatchObject({ reason: { code: "OVERLOADED" } });
    expect(await time.drive(target.request("question", 2))).toBe(2);
    await bystander.publish("hopeless", 1);
    await survives();
    expect((await bystander.deadLetters.stats()).total).toBe(2);
    expect(Object.keys(target.getMetrics().channels).length).toBeLessThanOrEqual(10_001);
  });

  it("of reply channels leaves nothing behind", async () => {
    const { time, broker, bystander, smuggle, survives } = await siege();
    await bystander.subscribe("question", ({ payload }) => payload);
    for (let i = 0; i < 5000; i++) await smuggle("1", { channel: "question", replyTo: `reply.nobody.${i}` });
    await time.elapse(100);

    expect((await broker.admin.list()).filter((channel) => channel.startsWith("reply."))).toEqual([]);
    await survives();
  });

  it("of partition keys is handled like any other messages, and leaves nothing waiting", async () => {
    const { time, target, broker, survives } = await siege();
    let handled = 0;
    await target.subscribe("victim", () => void handled++);
    for (let batch = 0; batch < 10; batch++) {
      await Promise.all(
        Array.from({ length: 5000 }, (_none, at) =>
          target.publish("victim", 1, { partitionKey: `k${batch}-${at}` }),
        ),
      );
    }
    await time.until(() => handled === 50_000, "all of them");

    const [report] = (await broker.inspect({ channels: ["victim"] })).channels;
    expect(report?.groups).toEqual([{ group: "target", lag: 0, unsettled: 0 }]);
    await survives();
  });

  it("of ids under exactly-once ends in OVERLOADED at the inbox's limit, and no id within its horizon is forgotten for it", async () => {
    const clock = new FakeClock();
    const inbox = new MemoryInbox({ clock, maxIds: 1000, horizonMs: 60_000 });
    const { time, target, survives } = await siege({ inbox, defaultDeliveryGuarantee: "exactly-once" });
    let handled = 0;
    await target.subscribe("victim", () => void handled++);
    for (let i = 0; i < 1500; i++) await target.publish("victim", i, { id: `m${i}` });
    await time.elapse(100);

    expect(handled).toBe(1000);
    expect(await target.deadLetters.stats()).toMatchObject({ total: 500, byCode: { OVERLOADED: 500 } });
    expect(inbox.claim("target", "m0")).toBe("done");
    await survives();
  });

  it("of groups and broadcast subscriptions leaves no timers and nothing waiting", async () => {
    const { clock, target, broker, survives } = await siege();
    for (let i = 0; i < 500; i++)
      await target.subscribe("victim", () => {}, { group: i % 2 === 0 ? `g${i}` : null });
    await target.publish("victim", 1);
    await clock.advanceAsync(100);
    await Promise.all(target.listSubscriptions().map((subscription) => subscription.unsubscribe()));
    await clock.advanceAsync(60_000);

    const [report] = (await broker.inspect({ channels: ["victim"] })).channels;
    expect(report?.groups.every(({ lag }) => lag === 0)).toBe(true);
    expect(clock.pending).toBeLessThan(5);
    await survives();
  });
});

describe("agents in a circle", () => {
  it("are cut after so many hops, with the last message in the dead letters", async () => {
    const { time, agent, survives } = await siege();
    const ping = await agent("ping", { retry: { maxAttempts: 1 } });
    const pong = await agent("pong", { retry: { maxAttempts: 1 } });
    const hops: number[] = [];
    await ping.subscribe(
      "to.ping",
      ({ metadata }) => (hops.push(metadata.hops ?? 0), ping.publish("to.pong", 1)),
    );
    await pong.subscribe(
      "to.pong",
      ({ metadata }) => (hops.push(metadata.hops ?? 0), pong.publish("to.ping", 1)),
    );
    const id = await ping.publish("to.pong", 0);
    await time.until(async () => (await ping.deadLetters.stats()).total === 1, "the circle to be cut");

    expect(hops).toEqual(Array.from({ length: 33 }, (_none, at) => at));
    expect(await ping.deadLetters.list()).toMatchObject([
      { code: "HOP_LIMIT", message: { metadata: { hops: 32, correlationId: id } } },
    ]);
    await survives();
  });

  it("that ask each other are cut too, and every caller learns of it at once", async () => {
    const { clock, time, agent, survives } = await siege();
    const limits = { maxHops: 6 };
    const one = await agent("one", { limits });
    const two = await agent("two", { limits });
    await one.subscribe("ask.one", () => one.request("ask.two", 1));
    await two.subscribe("ask.two", () => two.request("ask.one", 1));
    const askedAt = clock.monotonic();

    await expect(time.drive(one.request("ask.two", 1))).rejects.toMatchObject({ code: "HOP_LIMIT" });
    expect(clock.monotonic()).toBe(askedAt);
    await survives();
  });

  it("that multiply are cut at the same depth, however many there are", async () => {
    const { time, agent, survives } = await siege();
    const a = await agent("a", { limits: { maxHops: 5 }, retry: { maxAttempts: 1 } });
    let handled = 0;
    await a.subscribe("fan", async () => {
      handled++;
      await Promise.all([0, 1, 2].map((n) => a.publish("fan", n)));
    });
    await a.publish("fan", 0);
    await time.until(async () => (await a.deadLetters.stats()).total === 3 ** 5, "every branch to be cut");

    expect(handled).toBe((3 ** 6 - 1) / 2);
    await survives();
  });

  it("cannot reset their hops by leaving options out or naming their own conversation", async () => {
    const { time, agent, survives } = await siege();
    const a = await agent("a", { limits: { maxHops: 4 }, retry: { maxAttempts: 1 } });
    let handled = 0;
    await a.subscribe("loop", () => {
      handled++;
      const mine = {
        correlationId: `fresh-${handled}`,
        causationId: "none",
        id: `m${handled}`,
        headers: { hops: "0" },
      };
      return a.publish("loop", 1, mine);
    });
    await a.publish("loop", 0);
    await time.until(async () => (await a.deadLetters.stats()).total === 1, "the loop to be cut");

    expect(handled).toBe(5);
    await survives();
  });

  it("cannot go on for ever as replies either", async () => {
    const { time, agent, survives } = await siege();
    const a = await agent("a", { limits: { maxHops: 4 }, retry: { maxAttempts: 1 } });
    let handled = 0;
    await a.subscribe("loop", () => (handled++, a.publish("loop", 1, { type: "reply" })));
    await a.publish("loop", 0);
    await time.until(async () => (await a.deadLetters.stats()).total === 1, "the loop to be cut");

    expect(handled).toBe(6);
    await survives();
  });
});

describe("a name from outside", () => {
  it.each(["../../evil", "node:fs", "constructor", "__proto__", "toString", "eval"])(
    "of a handler is looked up among the functions that were given, and is never loaded: %s",
    async (handler) => {
      const messaging = { subscribes: [{ channel: "c", handler }] };
      const start = () =>
        new MessagingService({ agentId: "a", messaging, handlers: { known: () => {} } }).start();
      expect(await codeOf(start)).toBe("INVALID_MANIFEST");
    },
  );

  it("of a broker is one of a list, and is never fetched", async () => {
    for (const broker of ["http://attacker.invalid", "javascript:alert(1)", "../x", ""]) {
      expect(await codeOf(() => new MessagingService({ agentId: "a", broker }))).toBe("UNSUPPORTED");
    }
    // A folder is asked for, and this is a file: it is neither read nor changed.
    const service = new MessagingService({ agentId: "a", broker: "file:///etc/passwd" });
    expect(await codeOf(() => service.start())).toBe("UNSAFE_STORAGE");
  });
});
