import { describe, expect, it } from "vitest";
import { RejectError } from "../../src/core/errors.ts";
import { WorkQueue } from "../../src/service/patterns.ts";
import { FAST, workQueues, type Place } from "./work-queues.ts";

/** What becomes of the tasks of a work queue, on every broker that can carry it. */
export function workQueueCases(makePlace: () => Place): void {
  const { place, queueIn, after } = workQueues(makePlace);

  describe("tasks", () => {
    it("are each done once, by the workers of two processes together", async () => {
      const where = place();
      const [a, b] = [await queueIn(where), await queueIn(where)];
      const done: number[] = [];
      const work = async (task: number): Promise<void> => void done.push(task);
      await a.queue.process(work, { workers: 3 });
      await b.queue.process(work, { workers: 3 });
      const tasks = Array.from({ length: 100 }, (_none, at) => at);

      const ids = await a.queue.enqueueBatch(tasks);

      expect(new Set(ids).size).toBe(100);
      await expect.poll(() => done.length).toBe(100);
      expect(done.toSorted((x, y) => x - y)).toEqual(tasks);
      await expect.poll(() => a.queue.getCounts()).toEqual({ waiting: 0, active: 0 });
    });

    it("wait for workers that come later, also over a bare broker", async () => {
      const where = place();
      const queue = new WorkQueue<number, number>(where.broker(), { queue: "jobs" });
      after(() => queue.close());
      await queue.enqueue(1);
      expect(await queue.getCounts()).toEqual({ waiting: 1, active: 0 });
      const done: number[] = [];

      await queue.process((task) => done.push(task));

      await expect.poll(() => done).toEqual([1]);
    });

    it("start by priority, first in, first out within one", async () => {
      const { queue } = await queueIn(place());
      for (const [task, priority] of [
        [1, "low"],
        [2, "normal"],
        [3, "critical"],
        [4, "normal"],
      ] as const)
        await queue.enqueue(task, { priority });
      const done: number[] = [];

      await queue.process((task) => done.push(task));

      await expect.poll(() => done).toEqual([3, 2, 4, 1]);
    });

    it("are not started before their delay is over", async () => {
      const { queue, service } = await queueIn(place());
      const starts: number[] = [];
      await queue.process(() => starts.push(service.clock.now()));
      const from = service.clock.now();

      await queue.enqueue(1, { delayMs: 300 });

      await expect.poll(() => starts.length).toBe(1);
      expect(starts[0]).toBeGreaterThanOrEqual(from + 300);
    });

    it("of one key run one at a time and in order, those of another key beside them", async () => {
      const { queue } = await queueIn(place());
      const running = new Map<string, number>();
      const done: number[] = [];
      let [most, together] = [0, 0];
      for (let at = 0; at < 12; at++) await queue.enqueue(at, { key: at % 2 === 0 ? "even" : "odd" });

      await queue.process(
        async (task, { message }) => {
          const key = message.metadata.partitionKey ?? "";
          running.set(key, (running.get(key) ?? 0) + 1);
          most = Math.max(most, running.get(key) ?? 0);
          together = Math.max(
            together,
            [...running.values()].reduce((sum, count) => sum + count, 0),
          );
          await new Promise((resolve) => setTimeout(resolve, 15));
          running.set(key, (running.get(key) ?? 0) - 1);
          done.push(task);
        },
        { workers: 6 },
      );

      await expect.poll(() => done.length).toBe(12);
      expect([most, together]).toEqual([1, 2]);
      expect(done.filter((task) => task % 2 === 0)).toEqual([0, 2, 4, 6, 8, 10]);
      expect(done.filter((task) => task % 2 === 1)).toEqual([1, 3, 5, 7, 9, 11]);
    });

    it("of one id under exactly-once are done once, however often they are enqueued", async () => {
      const where = place();
      const [a, b] = [await queueIn(where), await queueIn(where)];
      const done: string[] = [];
      await a.queue.process((_task, { id }) => done.push(id), { guarantee: "exactly-once" });
      for (const queue of [a.queue, b.queue, a.queue]) await queue.enqueue(1, { id: "same" });
      await b.queue.enqueue(2, { id: "other" });

      await expect.poll(() => a.queue.getCounts()).toEqual({ waiting: 0, active: 0 });
      expect(done).toEqual(["same", "other"]);
    });
  });

  describe("a result", () => {
    it("is awaited by the task's id in another process, before and after the task has ended", async () => {
      const where = place();
      const [asks, works] = [await queueIn(where), await queueIn(where)];
      const id = await asks.queue.enqueue(20, { keepResult: true });
      const early = works.queue.result(id);
      await works.queue.process((task) => task + 1);

      expect(await early).toBe(21);
      expect(await asks.queue.result(id)).toBe(21);
      const later = await queueIn(where);
      expect(await later.queue.result(id)).toBe(21);
    });

    it("comes with the progress that led to it", async () => {
      const where = place();
      const [asks, works] = [await queueIn(where), await queueIn(where)];
      await works.queue.process(async (task, context) => {
        await context.progress(0.5);
        await context.progress({ at: task });
        return "end";
      });
      const heard: unknown[] = [];

      expect(await asks.queue.run(7, { onProgress: (value) => heard.push(value) })).toBe("end");
      expect(heard).toEqual([0.5, { at: 7 }]);
    });

    it("of an exactly-once task is told once it has succeeded, its progress while it runs", async () => {
      const where = place();
      const [asks, works] = [await queueIn(where), await queueIn(where)];
      const gate = Promise.withResolvers<void>();
      await works.queue.process(
        async (task, { progress }) => {
          await progress("half");
          await gate.promise;
          return task * 2;
        },
        { guarantee: "exactly-once" },
      );
      const heard: unknown[] = [];
      const result = asks.queue.run(4, { onProgress: (value) => heard.push(value) });
      await expect.poll(() => heard).toEqual(["half"]);
      gate.resolve();

      expect(await result).toBe(8);
    });

    it("of a task that is given up on is its error, and the task can be redriven", async () => {
      const where = place();
      const { queue, service } = await queueIn(where);
      let attempts = 0;
      let broken = true;
      await queue.process(
        () => {
          attempts++;
          if (broken) throw new Error("the printer is on fire");
          return "printed";
        },
        { retry: FAST },
      );

      const id = await queue.enqueue(1, { keepResult: true });
      await expect(queue.result(id)).rejects.toMatchObject({
        name: "CommandError",
        code: "HANDLER_FAILED",
        message: "the printer is on fire",
      });
      expect(attempts).toBe(3);
      await expect.poll(async () => (await service.deadLetters.stats()).total).toBe(1);
      broken = false;
      expect(await service.deadLetters.redrive(id)).toBe(1);
      await expect.poll(() => attempts).toBe(4);
    });

    it("of a task that is rejected, or comes too late, says so", async () => {
      const where = place();
      const { queue } = await queueIn(where);
      const late = await queue.enqueue(1, { keepResult: true, ttlSeconds: 0.001 });
      await new Promise((resolve) => setTimeout(resolve, 20));
      await queue.process(() => {
        throw new RejectError("never this one");
      });

      await expect(queue.run(2)).rejects.toMatchObject({ code: "REJECTED", message: "never this one" });
      await expect(queue.result(late)).rejects.toMatchObject({ code: "EXPIRED" });
    });

    it("that does not come in time is a TIMEOUT, and a signal ends the wait; the task goes on", async () => {
      const { queue } = await queueIn(place());
      const id = await queue.enqueue(1, { keepResult: true });
      const aborting = new AbortController();
      const waiting = queue.result(id, { signal: aborting.signal });
      await expect(queue.result(id, { timeoutMs: 20 })).rejects.toMatchObject({ code: "TIMEOUT" });
      aborting.abort();
      await expect(waiting).rejects.toMatchObject({ code: "CANCELLED" });

      await queue.process((task) => task);
      expect(await queue.result(id)).toBe(1);
    });
  });

  describe("a cancel", () => {
    it("of a task that waits keeps every worker from starting it, also one that comes later", async () => {
      const where = place();
      const [asks, works] = [await queueIn(where), await queueIn(where)];
      const id = await asks.queue.enqueue(1, { keepResult: true });
      await asks.queue.enqueue(2);
      await asks.queue.cancel(id);
      const done: number[] = [];
      const result = asks.queue.result(id);

      await works.queue.process((task) => done.push(task));

      await expect(result).rejects.toMatchObject({ name: "HeraldError", code: "CANCELLED" });
      await expect.poll(() => done).toEqual([2]);
      expect(works.queue.getMetrics()).toMatchObject({ completed: 1, cancelled: 1, failed: 0 });
    });

    it("of a task that runs is told by its signal, and ends it for good", async () => {
      const where = place();
      const [asks, works] = [await queueIn(where), await queueIn(where)];
      const reasons: unknown[] = [];
      let attempts = 0;
      await works.queue.process(
        (_task, { signal }) => {
          attempts++;
          return new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => {
              reasons.push(signal.reason);
              reject(signal.reason as Error);
            });
          });
        },
        { retry: FAST },
      );
      const id = await asks.queue.enqueue(1, { keepResult: true });
      const result = asks.queue.result(id);
      result.catch(() => undefined);
      await expect.poll(() => attempts).toBe(1);

      await asks.queue.cancel(id);

      await expect(result).rejects.toMatchObject({ code: "CANCELLED" });
      expect(reasons).toMatchObject([{ code: "CANCELLED" }]);
      await expect.poll(() => asks.queue.getCounts()).toEqual({ waiting: 0, active: 0 });
      expect(attempts).toBe(1);
      expect(await works.service.deadLetters.list()).toEqual([]);
    });
  });
}
