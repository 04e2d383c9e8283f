import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, expect, it } from "vitest";
import { Crew } from "../../examples/queue/crew.ts";
import { JOBS, PRINTED, type Job, type Printed } from "../../examples/queue/job.ts";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { WorkQueue } from "../../src/service/patterns.ts";
import { MessagingService } from "../../src/service/service.ts";

const TASKS = 300;
const folder = mkdtempSync(path.join(tmpdir(), "herald-queue-killed-"));
const crews = new Set<Crew>();

afterEach(async () => {
  await Promise.all([...crews].map((crew) => crew.end("SIGKILL")));
  rmSync(folder, { recursive: true, force: true });
});

async function start(name: string): Promise<Crew> {
  const crew = await Crew.start(name, { directory: folder, perSecond: 0 });
  crews.add(crew);
  return crew;
}

it("every task takes effect once while workers are killed with SIGKILL one after another", async () => {
  const service = new MessagingService({ agentId: "office", broker: new FileBroker({ directory: folder }) });
  await service.start();
  const queue = new WorkQueue<Job>(service, { queue: JOBS });
  const effects: number[] = [];
  const by = new Set<string>();
  await service.subscribe<Printed>(PRINTED, ({ payload }) => {
    effects.push(payload.n);
    by.add(payload.by);
  });
  const first = await Promise.all([start("a"), start("b")]);
  await queue.enqueueBatch(Array.from({ length: TASKS }, (_none, n) => ({ n, ms: 20, isUrgent: false })));

  await expect.poll(() => effects.length, { interval: 5 }).toBeGreaterThan(20);
  await first[0]?.end("SIGKILL");
  await start("c");
  await expect.poll(() => by.size, { interval: 5 }).toBe(3);
  await first[1]?.end("SIGKILL");

  await expect.poll(() => queue.getCounts()).toEqual({ waiting: 0, active: 0 });
  await expect
    .poll(() => service.getConsumerLag({ channel: PRINTED, group: "office" }))
    .toMatchObject([{ lag: 0 }]);
  expect(effects.toSorted((x, y) => x - y)).toEqual(Array.from({ length: TASKS }, (_none, n) => n));
  await queue.close();
  await service.stop();
});
