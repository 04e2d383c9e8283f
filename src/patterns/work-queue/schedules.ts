import { HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { Messaging } from "../messaging.ts";
import { wrong, type TaskOptions } from "./options.ts";
import { KeptSchedule, type Repetition } from "./kept-schedule.ts";
import { readSchedule, type Schedule } from "./schedule.ts";

export type { Repetition, Schedule };

/** How a task of a schedule is enqueued; its id follows from the schedule's name and the moment. */
export interface RepeatOptions extends Omit<TaskOptions, "id" | "dedupe" | "delayMs"> {
  /**
   * Moments of the last so many milliseconds are enqueued too, apart from those that were enqueued already: shorter than the
   * broker remembers ids. Default 0: what was due while nobody ran is left out.
   */
  readonly catchUpMs?: number;
}

/** What a schedule enqueues with. */
interface Keeping {
  readonly catchUpMs: number;
  readonly headers: TaskOptions["headers"] | undefined;
  readonly enqueue: (about: TaskOptions) => Promise<unknown>;
}

const NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
/** Header of a task that a schedule enqueued: the moment it is for, ISO 8601. */
const SCHEDULED_FOR = "x-task-scheduled-for";

/** The schedules of one queue that this process keeps. */
export class Schedules {
  readonly #messaging: Messaging;
  readonly #queue: string;
  readonly #kept = new Map<string, KeptSchedule>();

  constructor(messaging: Messaging, queue: string) {
    this.#messaging = messaging;
    this.#queue = queue;
  }

  get names(): readonly string[] {
    return [...this.#kept.keys()];
  }

  /** Rejects with `UNSUPPORTED`, `ALREADY_EXISTS`, or `INVALID_ARGUMENT` naming the field. */
  async keep(name: string, when: Schedule, keeping: Keeping): Promise<Repetition> {
    if (typeof name !== "string" || !NAME.test(name))
      throw wrong("name", "1 to 64 characters of A-Z a-z 0-9 _ . : -", name);
    const { catchUpMs, headers, enqueue } = keeping;
    const { broker, clock, agentId } = this.#messaging;
    broker.require("dedupe", this.#queue, "schedules");
    const next = await readSchedule(when);
    if (this.#kept.has(name)) throw keptAlready(name);
    const kept = new KeptSchedule({
      name,
      clock,
      next,
      catchUpMs,
      enqueue: (at) => enqueue(occurrence(name, at, headers)),
      onFault: (error) => emit("fault", () => ({ agent: agentId, error, where: "repeat" })),
    });
    this.#kept.set(name, kept);
    return kept;
  }

  /** Throws `NOT_FOUND` when it is not kept here. */
  stop(name: string): void {
    const kept = this.#kept.get(name);
    if (kept === undefined)
      throw new HeraldError(
        "NOT_FOUND",
        `There is no schedule '${name}' in this process: see getStatus().schedules.`,
      );
    kept.stop();
    this.#kept.delete(name);
  }

  close(): void {
    for (const kept of this.#kept.values()) kept.stop();
    this.#kept.clear();
  }
}

/** The same task in whichever process it is enqueued. */
function occurrence(name: string, at: number, headers: TaskOptions["headers"] | undefined): TaskOptions {
  const moment = new Date(at).toISOString();
  return { headers: { ...headers, [SCHEDULED_FOR]: moment }, id: `${name}@${moment}`, dedupe: true };
}

function keptAlready(name: string): HeraldError {
  return new HeraldError(
    "ALREADY_EXISTS",
    `A schedule '${name}' is kept in this process already: stopRepeat() it first.`,
  );
}
