import { systemClock, type Clock } from "../../core/clock.ts";
import { HeraldError, showValue, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { createId } from "../../core/ids.ts";
import type { Stores, StoresSource } from "../../core/store.ts";
import { retryPolicy } from "../../delivery/retry.ts";
import { EventStore } from "../events/event-store.ts";
import type { Lease } from "../lease.ts";
import { keepAlive } from "../pause.ts";
import { Journal, type SagaRef } from "./journal.ts";
import { entriesOf, entryStatus, takeSaga } from "./lease.ts";
import type { SagaState, Step, StepFunction, StepOptions } from "./model.ts";
import { Resumer } from "./resumer.ts";
import { SagaRun } from "./run.ts";
import { SagaError, stuckError, takenOver } from "./saga-error.ts";

/** Options of a saga. */
export interface SagaOptions {
  /** What all processes call it: letters, digits, `_` and `-`. Default `saga`. */
  readonly name?: string;
  readonly clock?: Clock;
  /** A saga whose process gives no sign of life for this long is gone on with by another. Default 10,000. */
  readonly leaseMs?: number;
  /** What becomes of a saga when a step has failed for good: `compensate`, or `wait` for a person. Default `compensate`. */
  readonly onFailure?: "compensate" | "wait";
}

const NAME = /^[A-Za-z0-9_-]{1,60}$/;

/**
 * Steps that belong together and have no transaction in common: each has an action, and a compensation that undoes it. Every
 * step is written down before it is done, so that any process with the same saga goes on where another ended.
 */
export class Saga<D extends object = Record<string, unknown>> {
  readonly name: string;
  readonly #store: EventStore;
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #onFailure: "compensate" | "wait";
  readonly #stages: (readonly Step<D>[])[] = [];
  readonly #running = new Map<string, Promise<SagaState<D>>>();
  readonly #resumer: Resumer;
  #stopping = new AbortController();

  /** Throws `INVALID_ARGUMENT`, or `UNSUPPORTED` for a broker that keeps no streams. */
  constructor(source: Stores | StoresSource, options: SagaOptions = {}) {
    const { name = "saga", clock = systemClock, leaseMs = 10_000, onFailure = "compensate" } = options;
    checkName("name", name);
    if (!(leaseMs >= 30)) throw wrong("leaseMs", "30 or more", leaseMs);
    this.name = name;
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#onFailure = onFailure;
    this.#store = new EventStore(source, { clock });
    this.#resumer = new Resumer({
      name,
      clock,
      leaseMs,
      values: this.#store.stores.values,
      isOurs: (id) => this.#running.has(id),
      resume: (id, token) => this.#resume(id, token),
    });
  }

  /** Adds a step behind the others. */
  addStep(
    name: string,
    action: StepFunction<D>,
    compensation?: StepFunction<D>,
    options: StepOptions = {},
  ): this {
    return this.addParallel([{ ...options, name, action, compensation }]);
  }

  /** Adds steps that are done at once. All see the data as it was before; what comes next waits for all of them. */
  addParallel(steps: readonly Step<D>[]): this {
    const known = new Set(this.#names);
    for (const { name, retry, compensationRetry, action } of steps) {
      checkName("step", name);
      if (known.has(name)) throw wrong("step", "a name that no other step has", name);
      if (typeof action !== "function") throw wrong("action", "a function", action);
      retryPolicy(retry);
      retryPolicy(compensationRetry);
      known.add(name);
    }
    this.#stages.push(steps);
    return this;
  }

  /**
   * Does all steps; resolves to the data with their results. Rejects with SagaError when a step failed for good and what came
   * before was undone, with `SAGA_STUCK` when it waits for a person, `ALREADY_EXISTS` for an id that is in use, `CONFLICT` when
   * another process has taken the saga over, `CLOSED` when this one stopped.
   */
  async execute(data: D, options: { readonly id?: string } = {}): Promise<D> {
    const id = options.id ?? createId(this.#clock.now());
    checkName("id", id);
    return this.#outcome(
      await this.#drive(id, null, async (journal) => {
        if (!journal.isEmpty) throw exists(this.name, id);
        await journal.write("SagaStarted", { data, steps: this.#names });
      }),
    );
  }

  /** Where a saga stands; undefined for an id that is not known. */
  async get(id: string): Promise<SagaState<D> | undefined> {
    checkName("id", id);
    const journal = await this.#journal(id).load();
    return journal.isEmpty ? undefined : journal.state;
  }

  /** The sagas that have not ended, in all processes: those that run, and those that wait for a person. */
  async list(): Promise<readonly SagaState<D>[]> {
    const ids = await this.#store.stores.values.keys(entriesOf(this.name));
    const states = await Promise.all(ids.map((id) => this.get(id)));
    return states.filter((state) => state !== undefined);
  }

  /** Goes on with sagas whose process is gone, from now on. */
  start(): void {
    if (this.#stopping.signal.aborted) this.#stopping = new AbortController();
    this.#resumer.start();
  }

  /** Looks once for sagas whose process is gone and goes on with them; resolves to how many were taken. */
  look(): Promise<number> {
    return this.#resumer.look();
  }

  /** Begins no further step, waits for those that are done now, and leaves what is open to others. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#resumer.stop();
    await Promise.allSettled(this.#running.values());
  }

  /** Tries again what failed: the step of a stuck saga, the compensations of one that could not be undone. As `execute`. */
  retry(id: string): Promise<D> {
    return this.#decide(id, async (journal) => {
      const { steps } = journal.state;
      await journal.write("RetryRequested", {
        steps: this.#names.filter((name) => isFailed(steps[name]?.status)),
      });
    });
  }

  /** Goes on without what failed, as if it had been done; the reason is kept. As `execute`. */
  async skip(id: string, reason: string): Promise<D> {
    if (typeof reason !== "string" || reason.trim() === "") throw wrong("reason", "a sentence", reason);
    return this.#decide(id, async (journal) => {
      for (const step of this.#names)
        if (isFailed(journal.state.steps[step]?.status)) await journal.write("StepSkipped", { step, reason });
    });
  }

  /** Undoes a saga that is stuck or completed. Rejects with SagaError when that is done. */
  compensate(id: string): Promise<D> {
    const allowed = ["stuck", "completed"];
    return this.#decide(
      id,
      (journal) => {
        const { failedStep = null, steps } = journal.state;
        const asked = { code: "CANCELLED", message: "it was asked for" };
        const error = steps[failedStep ?? ""]?.error ?? asked;
        return journal.write("CompensationRequested", { failedStep, error });
      },
      allowed,
    );
  }

  get #names(): string[] {
    return this.#stages.flat().map(({ name }) => name);
  }

  #journal(id: string): Journal<D> {
    return new Journal<D>(this.#store, { name: this.name, id });
  }

  async #take(id: string, token: string | null): Promise<Lease> {
    const ref: SagaRef = { name: this.name, id };
    const { values } = this.#store.stores;
    const lease = await takeSaga(values, ref, { clock: this.#clock, leaseMs: this.#leaseMs, token });
    if (lease === undefined) throw token === null ? exists(this.name, id) : takenOver(this.name, id);
    return lease;
  }

  /** A person has decided. */
  async #decide(
    id: string,
    write: (journal: Journal<D>) => Promise<void>,
    allowed: readonly string[] = ["stuck", "failed"],
  ): Promise<D> {
    checkName("id", id);
    const entry = await this.#store.stores.values.get(entriesOf(this.name), id);
    const state = await this.get(id);
    if (state === undefined) throw unknown(this.name, id);
    if ((entry !== undefined && entryStatus(entry.value) !== "waiting") || !allowed.includes(state.status))
      throw notAllowed(this.name, state, allowed);
    return this.#outcome(await this.#drive(id, entry?.token ?? null, write));
  }

  /** Goes on with a saga whose process is gone. */
  async #resume(id: string, token: string): Promise<void> {
    await this.#drive(id, token, (journal) => {
      if (!journal.isEmpty) return journal.write("SagaResumed", {});
      // Its process ended before anything of it was kept, and nobody was told of it. If that process only slept, it ends here.
      return journal.write("SagaEnded", { status: "compensated" });
    });
  }

  #drive(
    id: string,
    token: string | null,
    begin: (journal: Journal<D>) => Promise<void>,
  ): Promise<SagaState<D>> {
    if (this.#running.has(id)) return Promise.reject(exists(this.name, id));
    if (this.#stopping.signal.aborted) return Promise.reject(isStopped(this.name));
    const driven = this.#driven(id, token, begin);
    this.#running.set(id, driven);
    const over = (): void => void this.#running.delete(id);
    driven.then(over, over);
    return keepAlive(driven);
  }

  async #driven(
    id: string,
    token: string | null,
    begin: (journal: Journal<D>) => Promise<void>,
  ): Promise<SagaState<D>> {
    const lease = await this.#take(id, token);
    const journal = this.#journal(id);
    try {
      await journal.load();
      await begin(journal);
      this.#checkSteps(journal.state);
      const definition = { stages: this.#stages, onFailure: this.#onFailure };
      const stopping = this.#stopping.signal;
      const run = new SagaRun({ definition, journal, clock: this.#clock, lost: lease.lost, stopping });
      await run.drive();
      return journal.state;
    } finally {
      await lease.end(this.#next(journal.state)).catch((error: unknown) => {
        // Nobody renews it any more: another process takes it after a lease.
        emit("fault", () => ({ agent: null, where: `saga ${this.name}`, error: toHeraldError(error) }));
      });
    }
  }

  /** A saga that another version of the program began must have the steps that this one knows. */
  #checkSteps({ id, order }: SagaState<D>): void {
    const names = this.#names;
    if (order.length > 0 && (order.length !== names.length || order.some((name, at) => name !== names[at])))
      throw otherSteps(this.name, id, order);
  }

  #next({ status }: SagaState<D>): "free" | "waiting" | undefined {
    if (status === "completed" || status === "compensated") return undefined;
    return status === "stuck" || status === "failed" ? "waiting" : "free";
  }

  #outcome(state: SagaState<D>): D {
    if (state.status === "completed") return state.data;
    if (state.status === "stuck") throw stuckError(this.name, state);
    if (state.status === "compensated" || state.status === "failed")
      throw new SagaError(this.name, state, this.#names);
    throw stopped(this.name, state.id);
  }
}

function isFailed(status: string | undefined): boolean {
  return status === "failed" || status === "uncompensated";
}

function checkName(field: string, name: unknown): void {
  if (typeof name !== "string" || !NAME.test(name))
    throw wrong(field, "1 to 60 characters of A-Z a-z 0-9 _ -", name);
}

function wrong(field: string, expected: string, value: unknown): HeraldError {
  const message = `Of a saga, ${field} must be ${expected}, not ${showValue(value)}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
}

function otherSteps(name: string, id: string, order: readonly string[]): HeraldError {
  const message = `Saga '${name}' ${id} was begun with the steps ${order.join(", ")}, and this program has others: let a program with those finish it, or give the new one another name.`;
  return new HeraldError("UNSUPPORTED", message, { details: { sagaId: id, steps: order } });
}

function exists(name: string, id: string): HeraldError {
  const message = `There is a saga '${name}' ${id} already: choose another id, or ask for its state.`;
  return new HeraldError("ALREADY_EXISTS", message, { details: { sagaId: id } });
}

function unknown(name: string, id: string): HeraldError {
  return new HeraldError("NOT_FOUND", `There is no saga '${name}' ${id}: look at list().`, {
    details: { sagaId: id },
  });
}

function notAllowed(
  name: string,
  { id, status }: SagaState<unknown>,
  allowed: readonly string[],
): HeraldError {
  const message = `Saga '${name}' ${id} is ${status}: this can be done once it is ${allowed.join(" or ")}.`;
  return new HeraldError("CONFLICT", message, { retryable: false, details: { sagaId: id, status } });
}

function isStopped(name: string): HeraldError {
  return new HeraldError("CLOSED", `Saga '${name}' was stopped: start() it before it does anything more.`);
}

function stopped(name: string, id: string): HeraldError {
  const message = `This process stopped before saga '${name}' ${id} had ended: another goes on with it, or this one when it is started again.`;
  return new HeraldError("CLOSED", message, { details: { sagaId: id } });
}
