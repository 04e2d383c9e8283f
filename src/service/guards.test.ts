import path from "node:path";
import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import { run } from "../../test/support/run.ts";
import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { FakeClock, settlePromises } from "../testing/fake-clock.ts";
import { bulkhead, DeadLetterHandler, rateLimit, RetryHandler } from "./guards.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");

describe("a bulkhead", () => {
  it("lets so many handlers run at the same time, over two subscriptions; the others come back uncounted and are handled", async () => {
    const { clock, agent } = world();
    const service = await agent("a");
    service.use(bulkhead({ maxConcurrent: 2, delayMs: 100 }));
    const gates: (() => void)[] = [];
    const attempts = new Set<number>();
    let [running, most, ended] = [0, 0, 0];
    const handler = async (_message: Message, context: { readonly attempt: number }): Promise<void> => {
      attempts.add(context.attempt);
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => gates.push(resolve));
      running--;
      ended++;
    };
    await service.subscribe("x", handler);
    await service.subscribe("y", handler);
    for (let n = 0; n < 5; n++) {
      await service.publish("x", n);
      await service.publish("y", n);
    }
    await settlePromises();
    expect(running).toBe(2);
    for (let turn = 0; turn < 100 && ended < 10; turn++) {
      for (const open of gates.splice(0)) open();
      await clock.advanceAsync(100);
    }
    expect([ended, most, [...attempts]]).toEqual([10, 2, [1]]);
    expect(service.getMetrics()).toMatchObject({ handled: 10, failed: 0, deadLettered: 0 });
  });

  it("lets some wait in their slots where it is asked to, and passes on what a handler throws", async () => {
    const { agent } = world();
    const service = await agent("a", { retry: { maxAttempts: 1 } });
    service.use(bulkhead({ maxConcurrent: 1, maxWaiting: 5 }));
    await service.subscribe("x", async () => {
      await settlePromises();
      throw new Error("no");
    });
    for (let n = 0; n < 6; n++) await service.publish("x", n);
    for (let turn = 0; turn < 10; turn++) await settlePromises();
    expect(service.getMetrics()).toMatchObject({ failed: 6, deadLettered: 6, snoozed: 0 });
  });

  it("of nothing is refused, naming the field", () => {
    const refusal = expect.objectContaining({
      code: "INVALID_ARGUMENT",
      details: { field: "maxConcurrent" },
    });
    expect(() => bulkhead({ maxConcurrent: 0 })).toThrow(refusal);
  });
});

describe("a rate limit", () => {
  it("starts so many handlers in each window, over two services of one name", async () => {
    const { clock, agent } = world();
    const services = await Promise.all([agent("a"), agent("b")]);
    let started = 0;
    for (const service of services) {
      service.use(rateLimit({ max: 3, perMs: 1000 }, { service, name: "model.calls" }));
      await service.subscribe("x", () => void started++);
    }
    for (let n = 0; n < 6; n++) await services[0].publish("x", n);
    await settlePromises();
    const counts = [started];
    for (let second = 0; second < 4; second++) {
      await clock.advanceAsync(1000);
      counts.push(started);
    }
    // Six messages for each of two agents.
    expect(counts).toEqual([3, 6, 9, 12, 12]);
  });

  it("of nothing is refused, naming the field", () => {
    const refusal = expect.objectContaining({
      code: "INVALID_ARGUMENT",
      details: { field: "rateLimit.max" },
    });
    expect(() => rateLimit({ max: 0, perMs: 1 })).toThrow(refusal);
  });
});

describe("RetryHandler", () => {
  it("tries again after 1 s, 2 s, 4 s as the policy of messages does, and rejects with the last error", async () => {
    const clock = new FakeClock();
    const handler = new RetryHandler({ attempts: 4, delay: 1000 }, clock);
    const at: number[] = [];
    const told: unknown[] = [];
    const run = handler.retry(
      () => {
        at.push(clock.monotonic());
        return Promise.reject(new Error(`attempt ${handler.getCurrentAttempt()}`));
      },
      { onRetry: (_error, attempt, delayMs) => told.push([attempt, delayMs]) },
    );
    const ended = expect(run).rejects.toThrow("attempt 4");
    await clock.advanceAsync(10_000);
    await ended;
    expect([at, told]).toEqual([
      [0, 1000, 3000, 7000],
      [
        [1, 1000],
        [2, 2000],
        [3, 4000],
      ],
    ]);
    expect([1, 2, 3, 4].map((attempt) => handler.calculateDelay(attempt))).toEqual([1000, 2000, 4000, 0]);
    handler.reset();
    expect(handler.getCurrentAttempt()).toBe(0);
  });

  it("does not try again what cannot get better, nor after its signal has fired", async () => {
    const clock = new FakeClock();
    const handler = new RetryHandler({ attempts: 3, delay: 1000 }, clock);
    const hopeless = () => Promise.reject(new HeraldError("FORBIDDEN", "Never."));
    await expect(handler.retry(hopeless)).rejects.toThrow("Never.");
    expect(handler.getCurrentAttempt()).toBe(1);
    const stop = new AbortController();
    const run = handler.retry(() => Promise.reject(new Error("away")), { signal: stop.signal });
    const ended = expect(run).rejects.toThrow("away");
    await settlePromises();
    stop.abort();
    await ended;
    expect([handler.getCurrentAttempt(), clock.pending]).toEqual([1, 0]);
  });
});

describe("RetryHandler alone in a program", () => {
  it("keeps the process alive while it waits, and not after that", async () => {
    const script = `
      const { RetryHandler } = await import("./src/service/guards.ts");
      const handler = new RetryHandler({ attempts: 2, delay: 20 });
      await handler.retry(async () => {
        if (handler.getCurrentAttempt() === 1) throw new Error("busy");
      });
      console.log(handler.getCurrentAttempt());`;

    const ran = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: ROOT });

    expect(ran).toMatchObject({ code: 0, stdout: "2\n", stderr: "" });
  });
});

describe("DeadLetterHandler", () => {
  it("keeps what a handler gave up on, byte for byte, and sends it back to that handler", async () => {
    const { agent } = world();
    const service = await agent("a");
    const letters = new DeadLetterHandler(service, { exchange: "x", queue: "dlq.orders", routingKey: "k" });
    const seen: unknown[] = [];
    await service.subscribe("orders", async (message) => {
      seen.push(message.payload);
      if (seen.length === 1) await letters.handle(message, new Error("no such customer"));
    });
    await service.publish("orders", { id: 1 }, { headers: { tenant: "t" } });
    await settlePromises();

    expect(await letters.getFailedMessages()).toMatchObject([
      { channel: "orders", payload: { id: 1 }, source: "a", metadata: { headers: { tenant: "t" } } },
    ]);
    expect(await letters.getStats()).toMatchObject({ total: 1, byCode: { HANDLER_FAILED: 1 } });
    const [entry] = await service.deadLetters.list({ deadLetterChannel: "dlq.orders" });
    expect(entry).toMatchObject({ group: "a", reason: "no such customer", attempts: 1 });
    await letters.retry(entry?.id ?? "");
    await settlePromises();
    expect(seen).toEqual([{ id: 1 }, { id: 1 }]);
    expect((await letters.getStats()).total).toBe(0);
    await expect(letters.retry("unknown")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("takes a message outside its handler too, and sends all of them back", async () => {
    const { agent } = world();
    const service = await agent("a");
    const letters = new DeadLetterHandler(service, { queue: "dlq.a" });
    const held: Message[] = [];
    await service.subscribe("orders", (message) => void held.push(message));
    for (let n = 0; n < 3; n++) await service.publish("orders", n, { partitionKey: "k", ttlSeconds: 60 });
    await settlePromises();
    for (const message of held.slice())
      await letters.handle(message, new HeraldError("REJECTED", "By hand."));
    expect(await letters.getStats()).toMatchObject({ total: 3, byCode: { REJECTED: 3 } });
    await letters.retryAll();
    await settlePromises();
    expect(held.slice(3)).toMatchObject([0, 1, 2].map((payload) => ({ payload, channel: "orders" })));
    expect(held[3]?.metadata).toMatchObject({ partitionKey: "k" });
  });

  it("over a bare broker has a service of its own, which it stops", async () => {
    const { broker, clock } = world();
    const letters = new DeadLetterHandler(broker, { queue: "dlq.a" });
    const at = new Date(clock.now()).toISOString();
    const metadata = { priority: 50, retryCount: 0, contentType: "application/json" };
    await letters.handle(
      { id: "1", timestamp: at, source: "s", channel: "c", payload: 1, metadata },
      new Error("x"),
    );
    expect((await letters.getFailedMessages()).map(({ id }) => id)).toEqual(["1"]);
    await letters.close();
    expect((await broker.inspect()).state).toBe("down");
  });
});
