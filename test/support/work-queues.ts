import { afterEach } from "vitest";
import type { Broker } from "../../src/core/broker.ts";
import type { WorkQueueOptions } from "../../src/patterns/work-queue/options.ts";
import { WorkQueue } from "../../src/service/patterns.ts";
import { MessagingService } from "../../src/service/service.ts";

/** Where brokers of one test find each other. */
export interface Place {
  /** A broker as another process would open it; on a memory broker the same one. */
  readonly broker: () => Broker;
  /** Called after everything over its brokers was closed. */
  readonly end?: () => unknown;
}

/** Retries that cost a test no time. */
export const FAST = { maxAttempts: 3, backoff: { initialDelayMs: 5, strategy: "constant" } } as const;

/** Queues over the brokers of a place, all closed when the test ends. */
export function workQueues(makePlace: () => Place) {
  const closing: (() => Promise<unknown>)[] = [];

  function place() {
    const where = makePlace();
    closing.push(async () => where.end?.());
    return where;
  }

  /** A queue as a process of its own has it. */
  async function queueIn(where: Place, options: WorkQueueOptions = {}) {
    const service = new MessagingService({ agentId: "worker", broker: where.broker(), gracePeriodMs: 500 });
    await service.start();
    const queue = new WorkQueue<number>(service, { queue: "jobs", ...options });
    const close = async (): Promise<void> => {
      await queue.close();
      await service.stop();
    };
    closing.push(close);
    return { queue, service, close };
  }

  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });

  return { place, queueIn, after: (close: () => Promise<unknown>) => void closing.push(close) };
}
