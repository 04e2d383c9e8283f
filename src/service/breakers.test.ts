import { describe, expect, it } from "vitest";
import { eventsOf } from "../../test/support/consuming.ts";
import { world } from "../../test/support/agents.ts";
import { FlakyBroker } from "../testing/flaky-broker.ts";
import { HeraldError } from "../core/errors.ts";
import { settlePromises } from "../testing/fake-clock.ts";
import { breakerPlan } from "./breakers.ts";

const QUICK = { failures: 3, openMs: 1000 };

describe("the circuit breaker of a handler", () => {
  it("opens after failures in a row; what waits is neither tried nor dead-lettered, and all of it is handled after the outage", async () => {
    const { clock, agent } = world();
    const changes = eventsOf("circuit-changed");
    const service = await agent("a", { circuitBreaker: { handlers: QUICK }, retry: { maxAttempts: 4 } });
    let isDown = true;
    let calls = 0;
    const done = new Set<unknown>();
    await service.subscribe("work", async ({ payload }) => {
      calls++;
      await settlePromises();
      if (isDown) throw new Error("the database is away");
      done.add(payload);
    });
    for (let n = 0; n < 20; n++) await service.publish("work", n);
    await settlePromises();

    // Ten ran at the same time; two had ended, and had made room for two more, when the third failed.
    expect(calls).toBe(12);
    expect(service.getMetrics().breakers).toEqual([
      { kind: "handler", name: "work", state: "open", opened: 1, refused: expect.any(Number) as number },
    ]);
    const { status, reasons } = await service.getHealth();
    expect([status, reasons]).toEqual(["degraded", ["the circuit breaker of handler 'work' is open"]]);

    // One probe a second, and no more.
    for (let second = 1; second <= 30; second++) await clock.advanceAsync(1000);
    expect(calls).toBe(12 + 30);
    expect((await service.deadLetters.list()).length).toBe(0);

    isDown = false;
    await clock.advanceAsync(5000);
    for (let turn = 0; turn < 20; turn++) await settlePromises();
    expect(done.size).toBe(20);
    expect((await service.deadLetters.list()).length).toBe(0);
    expect(service.getMetrics()).toMatchObject({
      handled: 20,
      deadLettered: 0,
      breakers: [{ state: "closed" }],
    });
    expect((await service.getHealth()).status).toBe("healthy");
    expect(changes.slice(0, 2)).toMatchObject([
      {
        agent: "a",
        kind: "handler",
        name: "work",
        from: "closed",
        to: "open",
        reason: "the database is away",
      },
      { from: "open", to: "half-open" },
    ]);
    expect(changes.at(-1)).toMatchObject({ from: "half-open", to: "closed" });
  });

  it("without it the same outage dead-letters", async () => {
    const { clock, agent } = world();
    const service = await agent("a", { retry: { maxAttempts: 4 } });
    await service.subscribe("work", () => {
      throw new Error("the database is away");
    });
    for (let n = 0; n < 20; n++) await service.publish("work", n);
    await clock.advanceAsync(30_000);
    expect((await service.deadLetters.list()).length).toBe(20);
  });

  it("a message that nobody can handle still ends in the dead letters: others take its turn as the probe", async () => {
    const { clock, agent } = world();
    const service = await agent("a", {
      circuitBreaker: { handlers: { failures: 2, openMs: 1000 } },
      retry: { maxAttempts: 3, backoff: { strategy: "constant", initialDelayMs: 100 } },
      maxConcurrency: 1,
    });
    const handled: unknown[] = [];
    await service.subscribe("work", ({ payload }) => {
      if (payload === "poison") throw new Error("cannot be handled");
      handled.push(payload);
    });
    await service.publish("work", "poison");
    for (let n = 0; n < 30; n++) {
      await service.publish("work", n);
      await clock.advanceAsync(500);
    }
    await clock.advanceAsync(20_000);
    expect(handled.length).toBe(30);
    expect((await service.deadLetters.list()).map(({ message }) => message?.payload)).toEqual(["poison"]);
  });

  it("by sampling opens when more than a part of what ended failed, and not before", async () => {
    const { agent } = world();
    const sampling = { threshold: 0.5, windowMs: 60_000, minimumPerSecond: 0.1 };
    const service = await agent("a", { circuitBreaker: { handlers: { sampling } }, maxConcurrency: 1 });
    await service.subscribe("work", ({ payload }) => {
      if (payload === "bad") throw new Error("no");
    });
    const state = () => service.getMetrics().breakers[0]?.state;
    // Half of them is not more than half; never five in a row.
    for (let n = 0; n < 10; n++) {
      await service.publish("work", "good");
      await service.publish("work", "bad");
    }
    await settlePromises();
    expect(state()).toBe("closed");
    await service.publish("work", "bad");
    await settlePromises();
    expect(state()).toBe("open");
  });

  it("closes only after as many probes as were asked for, and a refusal for good is no failure", async () => {
    const { clock, agent } = world();
    const service = await agent("a", { maxConcurrency: 1 });
    let thrown: Error | undefined = new HeraldError("REJECTED", "Not this one.");
    await service.subscribe(
      "work",
      () => {
        if (thrown !== undefined) throw thrown;
      },
      { circuitBreaker: { failures: 1, openMs: 1000, probes: 2 } },
    );
    const state = () => service.getMetrics().breakers[0]?.state;
    await service.publish("work", 1);
    await settlePromises();
    expect(state()).toBe("closed");
    thrown = new Error("away");
    await service.publish("work", 2);
    await settlePromises();
    expect(state()).toBe("open");
    thrown = undefined;
    await service.publish("work", 3);
    await clock.advanceAsync(1000);
    expect(state()).toBe("half-open");
    await service.publish("work", 4);
    await settlePromises();
    expect(state()).toBe("closed");
  });

  it("lets a service stop while it is open, and goes with its subscription", async () => {
    const { agent } = world();
    const service = await agent("a", { circuitBreaker: { handlers: { failures: 1, openMs: 3_600_000 } } });
    const handle = await service.subscribe("work", () => {
      throw new Error("away");
    });
    await service.publish("work", 1);
    await settlePromises();
    expect(service.getMetrics().breakers).toMatchObject([{ state: "open" }]);
    await handle.unsubscribe();
    expect(service.getMetrics().breakers).toEqual([]);
  });
});

describe("the circuit breaker of a command", () => {
  it("refuses at once with CIRCUIT_OPEN when nobody answers, asks again after a while, and leaves other commands alone", async () => {
    const { clock, agent } = world();
    const asker = await agent("asker", { circuitBreaker: { commands: QUICK } });
    const worker = await agent("worker");
    let fails = true;
    await worker.registerCommandHandler("count", () => {
      if (fails) throw new Error("away");
      return 1;
    });
    await worker.registerCommandHandler("name", () => "w");
    const ask = (name: string) =>
      asker.sendCommand("worker", name, null).catch((error: HeraldError) => error.code);

    for (let n = 0; n < 3; n++) expect(await ask("count")).toBe("HANDLER_FAILED");
    expect([await ask("count"), await ask("name")]).toEqual(["CIRCUIT_OPEN", "w"]);
    expect(asker.getMetrics().breakers).toContainEqual({
      kind: "command",
      name: "agent.worker.commands.count",
      state: "open",
      opened: 1,
      refused: 1,
    });
    await clock.advanceAsync(1000);
    expect([await ask("count"), await ask("count")]).toEqual(["HANDLER_FAILED", "CIRCUIT_OPEN"]);
    fails = false;
    await clock.advanceAsync(1000);
    expect([await ask("count"), await ask("count")]).toEqual([1, 1]);
  });

  it("takes an answer in the responder's own words for an answer", async () => {
    const { agent } = world();
    const asker = await agent("asker", { circuitBreaker: { commands: { failures: 1 } } });
    const worker = await agent("worker");
    await worker.registerCommandHandler("buy", () => {
      throw new HeraldError("OUT_OF_STOCK", "There are none left.");
    });
    const ask = () => asker.sendCommand("worker", "buy", null).catch((error: HeraldError) => error.code);
    expect([await ask(), await ask()]).toEqual(["OUT_OF_STOCK", "OUT_OF_STOCK"]);
  });

  it("a message whose handler meets it comes again, uncounted, when it lets something through", async () => {
    const { clock, agent } = world();
    const asker = await agent("asker", {
      circuitBreaker: { commands: { failures: 1, openMs: 60_000 } },
      retry: { maxAttempts: 2 },
    });
    const worker = await agent("worker");
    let fails = true;
    await worker.registerCommandHandler("count", () => {
      if (fails) throw new Error("away");
      return 1;
    });
    const attempts: number[] = [];
    await asker.subscribe("work", async (_message, { attempt }) => {
      attempts.push(attempt);
      await asker.sendCommand("worker", "count", null);
    });
    await asker.publish("work", 1);
    await clock.advanceAsync(2000);
    fails = false;
    await clock.advanceAsync(120_000);
    // Failed, met the open breaker, handled: two attempts that count.
    expect(attempts).toEqual([1, 2, 2]);
    const work = asker.getMetrics().groups.find(({ channel }) => channel === "work");
    expect(work).toMatchObject({ handled: 1, failed: 1, snoozed: 1, deadLettered: 0 });
  });
});

describe("the circuit breaker of the broker", () => {
  it("refuses a publish at once with CIRCUIT_OPEN while the broker is away, and lets one through after a while", async () => {
    const { clock, broker: inner, agent } = world();
    const broker = new FlakyBroker(inner);
    const service = await agent("a", { broker, circuitBreaker: { broker: QUICK } });
    broker.inject({ on: "publish", fault: "refuse", code: "NOT_CONNECTED" });
    const publish = () =>
      service.publish("c", 1).then(
        () => "published",
        (error: HeraldError) => error.code,
      );

    for (let n = 0; n < 3; n++) expect(await publish()).toBe("NOT_CONNECTED");
    const struck = broker.injected;
    expect([await publish(), broker.injected - struck]).toEqual(["CIRCUIT_OPEN", 0]);
    await clock.advanceAsync(1000);
    broker.heal();
    expect([await publish(), await publish()]).toEqual(["published", "published"]);
    expect(service.getMetrics().breakers).toMatchObject([
      { kind: "broker", state: "closed", opened: 1, refused: 1 },
    ]);
  });

  it("does not open for what the broker cannot take", async () => {
    const { broker: inner, agent } = world();
    const broker = new FlakyBroker(inner);
    const service = await agent("a", { broker, circuitBreaker: { broker: { failures: 1 } } });
    broker.inject({ on: "publish", fault: "refuse", code: "MESSAGE_TOO_LARGE", times: 3 });
    const publish = () =>
      service.publish("c", 1).then(
        () => "published",
        (error: HeraldError) => error.code,
      );
    for (let n = 0; n < 3; n++) expect(await publish()).toBe("MESSAGE_TOO_LARGE");
    expect(await publish()).toBe("published");
  });
});

describe("the option circuitBreaker", () => {
  it.each([
    ["circuitBreaker.handlers.failures", { handlers: { failures: 0 } }],
    ["circuitBreaker.commands.openMs", { commands: { openMs: 0 } }],
    ["circuitBreaker.broker.probes", { broker: { probes: 1.5 } }],
    ["circuitBreaker.handlers.sampling.threshold", { handlers: { sampling: { threshold: 1, windowMs: 1 } } }],
    ["circuitBreaker.handlers", { handlers: { failures: 1, sampling: { threshold: 0.5, windowMs: 1 } } }],
    ["circuitBreaker", { handler: {} } as object],
  ])("that is wrong is refused, naming %s", (field, given) => {
    expect(() => breakerPlan(given)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });

  it("true is all three, nothing is none", () => {
    expect(Object.keys(breakerPlan(true))).toEqual(["handlers", "commands", "broker"]);
    expect([breakerPlan(undefined), breakerPlan(false)]).toEqual([{}, {}]);
  });
});
