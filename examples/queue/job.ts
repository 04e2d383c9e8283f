import type { WorkQueueOptions } from "../../src/service/patterns.ts";

/** One thing to print. */
export interface Job {
  readonly n: number;
  /** How long it takes. */
  readonly ms: number;
  /** It goes before the others. */
  readonly isUrgent: boolean;
}

/** That a job was printed, and by whom. */
export interface Printed {
  readonly n: number;
  readonly by: string;
  readonly isUrgent: boolean;
}

export const JOBS = "print.jobs";
export const PRINTED = "print.done";

/** What every process of the example makes the queue with. `perSecond`: jobs that may start in a second, over all processes. */
export function queueOptions(perSecond: number): WorkQueueOptions {
  return perSecond > 0 ? { queue: JOBS, rateLimit: { max: perSecond, perMs: 1000 } } : { queue: JOBS };
}
