import fc from "fast-check";
import { expect, it } from "vitest";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { RejectError } from "../../src/core/errors.ts";
import type { TaskContext } from "../../src/patterns/work-queue/options.ts";
import { WorkQueue } from "../../src/service/patterns.ts";
import { MessagingService } from "../../src/service/service.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { ModelCommand, type ModelStep } from "../support/model-command.ts";

const MAX_ATTEMPTS = 3;
const RETRY_MS = 100;
const WORKERS = 2;

interface ModelTask {
  readonly id: string;
  readonly key: string | undefined;
  dueAt: number;
  attempt: number;
  state: "waiting" | "running" | "done" | "failed" | "cancelled";
  isCancelled: boolean;
}

/** What a queue with one process of {@link WORKERS} workers must do, in as few lines as it can be said. */
class Model {
  now = 0;
  state: "idle" | "running" | "paused" = "idle";
  readonly tasks = new Map<string, ModelTask>();

  running(): ModelTask[] {
    return [...this.tasks.values()].filter(({ state }) => state === "running");
  }

  /** What may start now: due, and nothing of its key runs. */
  eligible(): ModelTask[] {
    const keys = new Set(this.running().map(({ key }) => key));
    keys.delete(undefined);
    return [...this.tasks.values()].filter(
      ({ state, dueAt, key }) => state === "waiting" && dueAt <= this.now && !keys.has(key),
    );
  }

  fail(task: ModelTask): void {
    if (task.attempt >= MAX_ATTEMPTS) task.state = "failed";
    else Object.assign(task, { state: "waiting", attempt: task.attempt + 1, dueAt: this.now + RETRY_MS });
  }
}

interface Run {
  readonly context: TaskContext;
  readonly end: PromiseWithResolvers<unknown>;
}

/** The queue under test: its handler ends when a command says so. */
interface Real {
  readonly clock: FakeClock;
  readonly queue: WorkQueue<number>;
  readonly runs: Map<string, Run>;
  /** Every start, in order. */
  readonly starts: [id: string, attempt: number][];
  readonly outcomes: Map<string, string>;
  seen: number;
}

type Step = ModelStep<Model, Real>;

/** A step, after which both must agree. */
class Command extends ModelCommand<Model, Real> {
  override async run(model: Model, real: Real): Promise<void> {
    await super.run(model, real);
    await real.clock.advanceAsync(0);
    agree(model, real);
  }
}

/** Every start since the last look was allowed, and none that was possible is missing. */
function agree(model: Model, real: Real): void {
  for (const task of model.tasks.values())
    // A worker that comes to a cancelled task ends it without a start.
    if (task.isCancelled && task.state === "waiting" && model.state === "running" && task.dueAt <= model.now)
      endIfReached(task, real);
  for (const [id, attempt] of real.starts.slice(real.seen)) {
    const task = model.tasks.get(id);
    expect(task, `${id} is a task`).toBeDefined();
    if (task === undefined) continue;
    expect([task.state, task.isCancelled, task.attempt], id).toEqual(["waiting", false, attempt]);
    expect(task.dueAt).toBeLessThanOrEqual(model.now);
    expect(model.state).toBe("running");
    const sameKey = model.running().filter(({ key }) => key !== undefined && key === task.key);
    expect(sameKey).toEqual([]);
    task.state = "running";
  }
  real.seen = real.starts.length;
  expect(model.running().length).toBeLessThanOrEqual(WORKERS);
  expect(real.queue.getStatus().active).toBe(model.running().length);
  if (model.state === "running" && model.running().length < WORKERS)
    expect(model.eligible().filter(({ isCancelled }) => !isCancelled)).toEqual([]);
}

function endIfReached(task: ModelTask, { outcomes }: Real): void {
  if (outcomes.get(task.id) === "CANCELLED") task.state = "cancelled";
}

const enqueue = (key: string | undefined, delayMs: number): Step => {
  return async (model, { queue, clock, outcomes }) => {
    const id = `t${model.tasks.size}`;
    const options = { id, keepResult: true, ...(key === undefined ? {} : { key }) };
    await queue.enqueue(model.tasks.size, delayMs === 0 ? options : { ...options, delayMs });
    const dueAt = model.now + delayMs;
    model.tasks.set(id, { id, key, dueAt, attempt: 1, state: "waiting", isCancelled: false });
    void queue.result(id, { timeoutMs: 1e12 }).then(
      (value) => outcomes.set(id, String(value)),
      (error: { readonly code: string }) => outcomes.set(id, error.code),
    );
    await clock.advanceAsync(0);
  };
};

const finish = (nth: number, how: "ok" | "fail" | "reject"): Step => {
  return async (model, real) => {
    const running = model.running();
    const task = running[nth % running.length];
    if (task === undefined) return;
    const { end } = real.runs.get(task.id) as Run;
    if (how === "ok") {
      task.state = "done";
      end.resolve(`${task.id} is done`);
    } else {
      if (task.isCancelled) task.state = "cancelled";
      else if (how === "reject") task.state = "failed";
      else model.fail(task);
      end.reject(how === "reject" ? new RejectError("never") : new Error("not yet"));
    }
    await real.clock.advanceAsync(0);
  };
};

const cancel = (nth: number): Step => {
  return async (model, { queue, clock, runs }) => {
    const open = [...model.tasks.values()].filter(({ state }) => state === "waiting" || state === "running");
    const task = open[nth % open.length];
    if (task === undefined) return;
    await queue.cancel(task.id);
    await clock.advanceAsync(0);
    // Without workers nobody has heard of it yet; those that come read it first.
    task.isCancelled = true;
    if (task.state === "running") expect(runs.get(task.id)?.context.signal.aborted).toBe(true);
  };
};

const advance = (ms: number): Step => {
  return async (model, { clock }) => {
    model.now += ms;
    await clock.advanceAsync(ms);
  };
};

/** The handler of every start. */
function work({ runs, starts }: Pick<Real, "runs" | "starts">) {
  return (_task: number, context: TaskContext): Promise<unknown> => {
    const end = Promise.withResolvers<unknown>();
    starts.push([context.id, context.attempt]);
    runs.set(context.id, { context, end });
    return end.promise;
  };
}

const start: Step = async (model, real) => {
  if (model.state !== "idle") return;
  model.state = "running";
  await real.queue.process(work(real), {
    workers: WORKERS,
    prefetch: 100,
    retry: { maxAttempts: MAX_ATTEMPTS, backoff: { strategy: "constant", initialDelayMs: RETRY_MS } },
  });
};

const pause: Step = async (model, { queue }) => {
  if (model.state === "running") model.state = "paused";
  await queue.pause();
};

const resume: Step = async (model, { queue }) => {
  if (model.state === "paused") model.state = "running";
  await queue.resume();
};

const drain: Step = async (model, real) => {
  if (model.state === "idle") return;
  model.state = "idle";
  const draining = real.queue.drain();
  await real.clock.advanceAsync(0);
  for (const task of model.running()) {
    task.state = "done";
    real.runs.get(task.id)?.end.resolve(`${task.id} is done`);
  }
  await draining;
};

const command = (text: string, step: Step) => new Command(text, step);
const key = fc.constantFrom(undefined, undefined, "a", "b");
const nth = fc.nat(20);
const commands = [
  fc
    .tuple(key, fc.constantFrom(0, 0, 50, 1000))
    .map(([k, delayMs]) => command(`enqueue(${k}, ${delayMs} ms)`, enqueue(k, delayMs))),
  fc
    .tuple(nth, fc.constantFrom("ok", "ok", "fail", "reject"))
    .map(([n, how]) => command(`finish(${n}, ${how})`, finish(n, how as "ok"))),
  nth.map((n) => command(`cancel(${n})`, cancel(n))),
  fc.constantFrom(1, 100, 1000).map((ms) => command(`advance(${ms} ms)`, advance(ms))),
  fc.constant(command("start", start)),
  fc.constant(command("pause", pause)),
  fc.constant(command("resume", resume)),
  fc.constant(command("drain", drain)),
];

/** Ends whatever is left, well. */
async function workOff(model: Model, real: Real): Promise<void> {
  const agreed = async (step: Step): Promise<void> => new Command("", step).run(model, real);
  await agreed(start);
  await agreed(resume);
  for (let round = 0; round < 200; round++) {
    if (model.running().length === 0) await agreed(advance(1000));
    else await agreed(finish(0, "ok"));
  }
}

it("loses no task, does none twice and tells the outcome of each, whatever is done to it", async () => {
  const property = fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: "max" }), async (run) => {
    const clock = new FakeClock();
    const service = new MessagingService({ agentId: "w", broker: new MemoryBroker({ clock }), clock });
    await service.start();
    const queue = new WorkQueue<number>(service, { queue: "q" });
    const model = new Model();
    const real: Real = { clock, queue, runs: new Map(), starts: [], outcomes: new Map(), seen: 0 };

    await fc.asyncModelRun(() => ({ model, real }), run);
    await workOff(model, real);

    for (const task of model.tasks.values()) {
      const outcome = real.outcomes.get(task.id);
      if (task.state === "done") expect(outcome).toBe(`${task.id} is done`);
      else if (task.state === "failed") expect(["HANDLER_FAILED", "REJECTED"]).toContain(outcome);
      else expect([task.isCancelled, outcome]).toEqual([true, "CANCELLED"]);
    }
    expect(await queue.getCounts()).toEqual({ waiting: 0, active: 0 });
    const { completed } = queue.getMetrics();
    expect(completed).toBe([...model.tasks.values()].filter(({ state }) => state === "done").length);
    const closing = queue.close().then(() => service.stop());
    await clock.advanceAsync(60_000);
    await closing;
    expect(clock.pending).toBe(0);
  });

  await fc.assert(property, { numRuns: 100 });
});
