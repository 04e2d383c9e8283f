import { describe, expect, it } from "vitest";
import { FAST, workQueues, type Place } from "./work-queues.ts";

const never = (): Promise<never> => new Promise(() => {});

/** What the workers of a queue, and those who look after it, can do on every broker that can carry it. */
export function workQueueWorkerCases(makePlace: () => Place): void {
  const { place, queueIn } = workQueues(makePlace);

  describe("workers", () => {
    it("that are paused start nothing, and what they held is done by others; after resume they go on", async () => {
      const where = place();
      const [a, b] = [await queueIn(where), await queueIn(where)];
      const by: string[] = [];
      await a.queue.process(() => by.push("a"), { workers: 2 });
      await a.queue.pause();
      expect(a.queue.getStatus()).toMatchObject({ state: "paused", workers: 2, active: 0 });
      for (let task = 0; task < 10; task++) await a.queue.enqueue(task);
      await b.queue.process(() => by.push("b"));
      await expect.poll(() => by.length).toBe(10);
      expect(new Set(by)).toEqual(new Set(["b"]));
      await b.queue.drain();

      await a.queue.resume();
      expect(a.queue.getStatus().state).toBe("running");
      await a.queue.enqueue(11);

      await expect.poll(() => by.at(-1)).toBe("a");
    });

    it("that are drained end what they do and start nothing more; others may be started then", async () => {
      const { queue } = await queueIn(place());
      const gate = Promise.withResolvers<void>();
      const done: number[] = [];
      await queue.process(async (task) => {
        await gate.promise;
        done.push(task);
      });
      await queue.enqueueBatch([1, 2]);
      await expect.poll(() => queue.getStatus().active).toBe(1);

      const draining = queue.drain();
      expect(queue.getStatus().state).toBe("draining");
      gate.resolve();
      await draining;
      expect(done).toEqual([1]);
      expect(queue.getStatus()).toMatchObject({ state: "idle", workers: 0 });
      await queue.process((task) => done.push(task));
      await expect.poll(() => done).toEqual([1, 2]);
    });

    it("that are closed while they work lose nothing: another process does it", async () => {
      const where = place();
      const [a, b] = [await queueIn(where), await queueIn(where)];
      const starts: number[] = [];
      await a.queue.process((task) => {
        starts.push(task);
        return never();
      });
      await a.queue.enqueueBatch([1, 2, 3]);
      await expect.poll(() => starts.length).toBe(1);
      const done: number[] = [];
      await b.queue.process((task) => done.push(task));
      await a.close();

      await expect.poll(() => done.toSorted()).toEqual([1, 2, 3]);
      await expect(a.queue.enqueue(4)).rejects.toMatchObject({ code: "CLOSED" });
    });

    it("are of one kind: a second process() is ALREADY_EXISTS", async () => {
      const { queue } = await queueIn(place());
      await queue.process(() => 1);
      await expect(queue.process(() => 2)).rejects.toMatchObject({ code: "ALREADY_EXISTS" });
    });

    it("of all processes together start no more tasks in a span than the rate limit says", async () => {
      const where = place();
      const options = { rateLimit: { max: 3, perMs: 200 } };
      const [a, b] = [await queueIn(where, options), await queueIn(where, options)];
      const starts: number[] = [];
      const work = (): void => void starts.push(a.service.clock.now());
      await a.queue.process(work, { workers: 5 });
      await b.queue.process(work, { workers: 5 });
      await a.queue.enqueueBatch(Array.from({ length: 13 }, (_none, at) => at));

      await expect.poll(() => starts.length).toBe(13);
      // Five spans at least, so 600 ms from the end of the first to the begin of the last; two limits would need three spans.
      // A start is noted a little after its turn.
      expect(Math.max(...starts) - Math.min(...starts)).toBeGreaterThan(500);
    });
  });

  describe("clear", () => {
    it("forgets what waits", async () => {
      const { queue } = await queueIn(place());
      await queue.enqueueBatch([1, 2, 3]);

      expect(await queue.clear()).toBe(3);

      expect(await queue.getCounts()).toEqual({ waiting: 0, active: 0 });
      const done: number[] = [];
      await queue.process((task) => done.push(task));
      await queue.enqueue(4);
      await expect.poll(() => done).toEqual([4]);
    });
  });

  describe("a task that is taken by hand", () => {
    it("is completed with its result, failed by the retry policy, or given back uncounted", async () => {
      const where = place();
      const { queue } = await queueIn(where);
      const other = await queueIn(where);
      expect(await queue.dequeue({ waitMs: 10 })).toBeUndefined();
      const id = await queue.enqueue(5, { keepResult: true });

      const first = await queue.dequeue({ retry: FAST, waitMs: 5000 });
      expect(first).toMatchObject({ task: 5, id, attempt: 1 });
      expect(await queue.getCounts()).toEqual({ waiting: 0, active: 1 });
      await first?.release();
      const second = await other.queue.dequeue({ retry: FAST, waitMs: 5000 });
      expect(second?.attempt).toBe(1);
      await second?.fail(new Error("not yet"));
      const third = await queue.dequeue({ retry: FAST, waitMs: 5000 });
      expect(third?.attempt).toBe(2);
      await third?.complete("done by hand");

      expect(await queue.result(id)).toBe("done by hand");
      expect(await queue.getCounts()).toEqual({ waiting: 0, active: 0 });
    });
  });

  describe("a schedule", () => {
    it("that two processes keep enqueues each of its moments once", async () => {
      const where = place();
      const [a, b] = [await queueIn(where), await queueIn(where)];
      const ids: string[] = [];
      await a.queue.process((_task, { id }) => ids.push(id));
      for (const { queue } of [a, b]) await queue.repeat("tick", { everyMs: 100 }, 1);

      await expect.poll(() => ids.length).toBeGreaterThan(4);
      for (const { queue } of [a, b]) await queue.stopRepeat("tick");
      await expect.poll(() => a.queue.getCounts()).toEqual({ waiting: 0, active: 0 });

      const moments = ids.map((id) => Date.parse(id.slice("tick@".length)));
      expect(new Set(ids).size).toBe(ids.length);
      expect(moments.every((at) => at % 100 === 0)).toBe(true);
      expect(a.queue.getStatus().schedules).toEqual([]);
    });
  });
}
