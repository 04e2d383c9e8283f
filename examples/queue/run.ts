import { FileBroker, MessagingService } from "../../src/index.ts";
import { WorkQueue } from "../../src/service/patterns.ts";
import { Count } from "./count.ts";
import { Crew } from "./crew.ts";
import { PRINTED, queueOptions, type Job, type Printed } from "./job.ts";

/** What came of a run. */
export interface Outcome {
  readonly jobs: number;
  readonly workers: number;
  readonly killed: string;
  /** Jobs that were printed. */
  readonly printed: number;
  /** Jobs that were printed more than once. */
  readonly twice: number;
  /** Jobs that nobody printed. */
  readonly lost: number;
  /** How many jobs had been printed, on average, when an urgent one was, and when another one was. */
  readonly urgentAt: number;
  readonly othersAt: number;
  /** From the first that was printed to the last, milliseconds. */
  readonly elapsedMs: number;
  readonly byWorker: Readonly<Record<string, number>>;
}

/** How much is done. */
export interface RunOptions {
  readonly directory: string;
  readonly jobs: number;
  readonly workers: number;
  /** Jobs that may start in a second, over all processes; 0: no limit. */
  readonly perSecond: number;
}

/** Shares the jobs among processes of workers, kills one of them while it works, and counts what was printed. */
export async function runQueue(options: RunOptions): Promise<Outcome> {
  const { directory, jobs, workers, perSecond } = options;
  const service = new MessagingService({ agentId: "office", broker: new FileBroker({ directory }) });
  await service.start();
  const queue = new WorkQueue<Job>(service, queueOptions(perSecond));
  const count = new Count();
  const killing = Promise.withResolvers<void>();
  await service.subscribe<Printed>(PRINTED, ({ payload }) => {
    count.add(payload);
    if (count.printed >= jobs / 4) killing.resolve();
  });

  await enqueue(queue, jobs);
  const names = Array.from({ length: workers }, (_none, at) => `worker ${at + 1}`);
  const crews = names.map((name) => Crew.start(name, { directory, perSecond }));
  await killing.promise;
  // The one that is busiest has most in hand.
  const killed = busiest(count.byWorker);
  await (await crews[names.indexOf(killed)])?.end("SIGKILL");
  await workedOff(queue, service);
  for (const crew of await Promise.all(crews)) await crew.end("SIGTERM");
  await queue.close();
  await service.stop();
  return { jobs, workers, killed, lost: jobs - count.printed, ...count.outcome() };
}

/** Every tenth is urgent, and comes last. */
async function enqueue(queue: WorkQueue<Job>, jobs: number): Promise<void> {
  const all = Array.from({ length: jobs }, (_none, n): Job => ({
    n,
    ms: 5 + (n % 20),
    isUrgent: n % 10 === 0,
  }));
  await queue.enqueueBatch(all.filter(({ isUrgent }) => !isUrgent));
  await queue.enqueueBatch(
    all.filter(({ isUrgent }) => isUrgent),
    { priority: "high" },
  );
}

function busiest(byWorker: Readonly<Record<string, number>>): string {
  const [first] = Object.entries(byWorker).toSorted(([, a], [, b]) => b - a);
  return first?.[0] ?? "";
}

/** Resolves when nothing waits or runs, and everything that was printed has been counted. */
async function workedOff(queue: WorkQueue<Job>, service: MessagingService): Promise<void> {
  for (;;) {
    const { waiting, active } = await queue.getCounts();
    const [uncounted] = await service.getConsumerLag({ channel: PRINTED, group: service.agentId });
    if (waiting === 0 && active === 0 && uncounted?.lag === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
