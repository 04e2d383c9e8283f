import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryBroker } from "../../brokers/memory/broker.ts";
import type { Capabilities } from "../../core/broker.ts";
import { BrokerWrapper } from "../../core/broker-wrapper.ts";
import { HeraldError } from "../../core/errors.ts";
import { WorkQueue } from "../../service/patterns.ts";
import { MessagingService } from "../../service/service.ts";
import { FakeClock, settlePromises } from "../../testing/fake-clock.ts";
import type { ProcessOptions, WorkQueueOptions } from "./options.ts";

/** A broker that lacks something. */
class Less extends BrokerWrapper {
  readonly #lacks: Partial<Capabilities>;

  constructor(lacks: Partial<Capabilities>) {
    super(new MemoryBroker());
    this.#lacks = lacks;
  }

  protected override adapt(capabilities: Capabilities): Capabilities {
    return { ...capabilities, ...this.#lacks };
  }
}

async function stepped(options: WorkQueueOptions = {}) {
  const clock = new FakeClock();
  const service = new MessagingService({ agentId: "w", broker: new MemoryBroker({ clock }), clock });
  await service.start();
  const queue = new WorkQueue<number>(service, options);
  onTestFinished(async () => {
    const closing = queue.close().then(() => service.stop());
    await clock.advanceAsync(60_000);
    await closing;
  });
  return { clock, service, queue };
}

/** Over a service of the system's clock. */
async function over(broker: BrokerWrapper | MemoryBroker, options: WorkQueueOptions = {}) {
  const service = new MessagingService({ agentId: "w", broker });
  await service.start();
  const queue = new WorkQueue(service, options);
  onTestFinished(async () => {
    await queue.close();
    await service.stop();
  });
  return { service, queue };
}

describe("a task", () => {
  it("is not started before its delay, and is tried again by the retry policy", async () => {
    const { clock, queue } = await stepped();
    const starts: number[] = [];
    await queue.process(
      (_task, { attempt }) => {
        starts.push(attempt);
        throw new Error("not yet");
      },
      { retry: { maxAttempts: 2, backoff: { initialDelayMs: 100 } } },
    );
    await queue.enqueue(1, { delayMs: 5000 });
    await clock.advanceAsync(4999);
    expect(starts).toEqual([]);
    await clock.advanceAsync(1);
    expect(starts).toEqual([1]);
    await clock.advanceAsync(100);
    expect(starts).toEqual([1, 2]);
    await clock.advanceAsync(60_000);
    expect(starts).toEqual([1, 2]);
    expect(queue.getMetrics()).toMatchObject({
      enqueued: 1,
      started: 2,
      failed: 2,
      retried: 1,
      deadLettered: 1,
      completed: 0,
    });
  });

  it("that takes longer than it may has failed, and is told by its signal", async () => {
    const { clock, queue } = await stepped();
    const reasons: unknown[] = [];
    const options: ProcessOptions = { timeoutMs: 1000, retry: { maxAttempts: 1 } };
    await queue.process((_task, { signal }) => {
      signal.addEventListener("abort", () => reasons.push((signal.reason as HeraldError).code));
      return new Promise(() => {});
    }, options);
    const result = queue.run(1);
    result.catch(() => undefined);
    await clock.advanceAsync(1000);

    await expect(result).rejects.toMatchObject({ code: "HANDLER_TIMEOUT" });
    expect(reasons).toEqual(["HANDLER_TIMEOUT"]);
  });

  it("that is due while no more may start waits for its turn, and is not started when it was cancelled meanwhile", async () => {
    const { clock, queue } = await stepped({ rateLimit: { max: 1, perMs: 1000 } });
    const done: number[] = [];
    await queue.process((task) => done.push(task), { workers: 5 });
    const ids = await queue.enqueueBatch([1, 2, 3]);
    await clock.advanceAsync(0);
    expect(done).toEqual([1]);
    await queue.cancel(ids[1] ?? "");
    await clock.advanceAsync(1000);
    await clock.advanceAsync(1000);
    expect(done).toEqual([1, 3]);
  });

  it("of a schedule has an id and a header that name its moment", async () => {
    const { clock, queue } = await stepped();
    const seen: unknown[] = [];
    await queue.process((task, { id, message }) => {
      seen.push([task, id, message.metadata.headers]);
    });
    const kept = await queue.repeat("nightly", { cron: "0 3 * * *", timeZone: "UTC" }, 5, {
      headers: { "x-mine": "1" },
    });
    expect(kept.nextAt).toBe(Date.UTC(2026, 0, 1, 3));
    await clock.advanceAsync(3 * 3_600_000);
    const moment = "2026-01-01T03:00:00.000Z";
    expect(seen).toEqual([[5, `nightly@${moment}`, { "x-mine": "1", "x-task-scheduled-for": moment }]]);
    await expect(queue.repeat("nightly", { everyMs: 5 }, 1)).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
    });
    await expect(queue.stopRepeat("daily")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(queue.repeat("two words", { everyMs: 5 }, 1)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field: "name" },
    });
  });

  it("answers whoever sent it as a request", async () => {
    const { queue, service } = await stepped();
    await queue.process((task) => task * 2);
    expect(await service.request("work-queue", 21)).toBe(42);
  });
});

describe("results", () => {
  it("that are more than a process remembers are read again", async () => {
    const { queue } = await over(new MemoryBroker(), { keepResult: true });
    await queue.process((task) => task, { workers: 100 });
    const first = await queue.enqueue("first");
    expect(await queue.result(first)).toBe("first");
    const many = await queue.enqueueBatch(Array.from({ length: 10_100 }, (_none, at) => at));
    expect(await queue.result(many.at(-1) ?? "")).toBe(10_099);

    expect(await queue.result(first)).toBe("first");
  });

  it("end with CLOSED when the queue is closed, and the task goes on", async () => {
    const { queue } = await over(new MemoryBroker());
    const id = await queue.enqueue(1, { keepResult: true });
    const result = queue.result(id);
    result.catch(() => undefined);
    await settlePromises();
    await queue.close();
    await expect(result).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("refuse a signal that has fired, and a time limit that is none", async () => {
    const { queue } = await over(new MemoryBroker());
    await expect(queue.result("x", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "CANCELLED",
    });
    await expect(queue.result("x", { timeoutMs: 0 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field: "timeoutMs" },
    });
  });
});

describe("a broker that lacks an ability", () => {
  it.each<[string, keyof Capabilities, Partial<Capabilities>, (queue: WorkQueue) => Promise<unknown>]>([
    ["a priority", "priority", { priority: false }, (queue) => queue.enqueue(1, { priority: "high" })],
    ["a delay", "delay", { delay: false }, (queue) => queue.enqueue(1, { delayMs: 5 })],
    ["a key", "ordering", { ordering: "none" }, (queue) => queue.enqueue(1, { key: "k" })],
    ["a known id", "dedupe", { dedupe: false }, (queue) => queue.enqueue(1, { id: "a", dedupe: true })],
    ["a schedule", "dedupe", { dedupe: false }, (queue) => queue.repeat("n", { everyMs: 1000 }, 1)],
    [
      "a result",
      "replayByPosition",
      { replayByPosition: false },
      (queue) => queue.enqueue(1, { keepResult: true }),
    ],
    ["waiting for a result", "broadcast", { broadcast: false }, (queue) => queue.result("a")],
    ["a cancel", "replayByPosition", { replayByPosition: false }, (queue) => queue.cancel("a")],
  ])("refuses %s with UNSUPPORTED, naming '%s'", async (_what, ability, lacks, ask) => {
    const { queue } = await over(new Less(lacks));
    await expect(ask(queue)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      details: { ability, agentId: "w", broker: "memory" },
    });
  });

  it("still carries tasks whose options need none", async () => {
    const { queue } = await over(
      new Less({
        replayByPosition: false,
        replayByTime: false,
        dedupe: false,
        priority: false,
        delay: false,
      }),
    );
    const done: unknown[] = [];
    await queue.process((task) => done.push(task));
    await queue.enqueue("plain");
    await expect.poll(() => done).toEqual(["plain"]);
  });

  it("refuses a rate limit that its processes could not share, with UNSUPPORTED, and a clear that it cannot do", async () => {
    const broker = new Less({ dedupe: false });
    Object.defineProperty(broker, "admin", { value: undefined });
    const { queue } = await over(broker, { rateLimit: { max: 1, perMs: 1000 } });
    await expect(queue.process(() => 1)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      details: { ability: "dedupe" },
    });
    expect(queue.getStatus()).toMatchObject({ state: "idle", workers: 0 });
    await expect(queue.clear()).rejects.toMatchObject({ code: "UNSUPPORTED", details: { ability: "admin" } });
  });
});

describe("a batch", () => {
  it("of which some could not be enqueued names them, and the others are enqueued", async () => {
    const { queue } = await over(new MemoryBroker());
    const loop: Record<string, unknown> = {};
    loop["self"] = loop;
    const failure = await queue.enqueueBatch([1, loop, 3]).catch((error: HeraldError) => error);
    expect(failure).toBeInstanceOf(HeraldError);
    const { code, details } = failure as HeraldError;
    expect(code).not.toBe("INTERNAL");
    expect(details).toMatchObject({
      ids: [expect.any(String), null, expect.any(String)],
      failed: [{ index: 1, code }],
    });
    expect(await queue.getCounts()).toEqual({ waiting: 2, active: 0 });
  });

  it("that is no list is refused", async () => {
    const { queue } = await over(new MemoryBroker());
    await expect(queue.enqueueBatch("abc" as unknown as string[])).rejects.toMatchObject({
      details: { field: "tasks" },
    });
  });
});

describe("a work queue", () => {
  it("is named work-queue unless it is named otherwise, and over a bare broker has a service of its own", async () => {
    const broker = new MemoryBroker();
    const queue = new WorkQueue(broker);
    expect(queue.getStatus()).toEqual({
      queue: "work-queue",
      state: "idle",
      workers: 0,
      active: 0,
      schedules: [],
    });
    await queue.enqueue(1);
    await queue.close();
    await queue.close();
    expect(queue.getStatus().state).toBe("closed");
    await expect(queue.enqueue(2)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(queue.process(() => 1)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(broker.publish([])).rejects.toMatchObject({ code: "CLOSED" });
  });

  it.each<[WorkQueueOptions, string]>([
    [{ queue: "no spaces please" }, "INVALID_CHANNEL"],
    [{ rateLimit: { max: 0, perMs: 1 } }, "INVALID_ARGUMENT"],
  ])("with %j is refused with %s", (options, code) => {
    expect(() => new WorkQueue(new MemoryBroker(), options)).toThrow(expect.objectContaining({ code }));
  });

  it("refuses what is no broker, no handler, and no number of workers", async () => {
    expect(() => new WorkQueue({} as MemoryBroker)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
    const { queue } = await over(new MemoryBroker());
    await expect(queue.process("f" as never)).rejects.toMatchObject({ details: { field: "handler" } });
    await expect(queue.process(() => 1, { workers: 0 })).rejects.toMatchObject({
      details: { field: "workers" },
    });
  });
});
