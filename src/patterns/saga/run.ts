import type { Clock } from "../../core/clock.ts";
import { HeraldError, isHeraldError } from "../../core/errors.ts";
import { retryPolicy, type RetryPolicy } from "../../delivery/retry.ts";
import { pause } from "../pause.ts";
import { attempt, keptError } from "./attempt.ts";
import type { Journal } from "./journal.ts";
import { dataAfter, stepOf, type KeptError, type SagaState, type Step, type StepState } from "./model.ts";
import { takenOver } from "./saga-error.ts";

/** What running needs to know of a saga. */
export interface Definition<D> {
  /** Steps in their order; those of one stage run at once. */
  readonly stages: readonly (readonly Step<D>[])[];
  readonly onFailure: "compensate" | "wait";
}

/** What a run goes by. */
export interface RunParts<D> {
  readonly definition: Definition<D>;
  readonly journal: Journal<D>;
  readonly clock: Clock;
  /** The saga is another's. */
  readonly lost: AbortSignal;
  /** The process leaves: no further step is begun. */
  readonly stopping: AbortSignal;
}

/** So often a step may have been begun and never ended: it is what ends the process. */
const MAX_CRASHES = 5;
const UNDO: RetryPolicy = retryPolicy({ maxAttempts: 3 });
const ONCE: RetryPolicy = retryPolicy({ maxAttempts: 1 });

/** What no store keeps, however often it is tried. */
const NEVER_KEPT = new Set(["UNSERIALIZABLE", "DEPTH_LIMIT", "MESSAGE_TOO_LARGE"]);

type Kind = "action" | "compensation";

/** One process's work on one saga: begins where the journal ends, and writes down every step before it is done. */
export class SagaRun<D> {
  readonly #parts: RunParts<D>;

  constructor(parts: RunParts<D>) {
    this.#parts = parts;
  }

  /** Goes on until the saga has ended, is stuck, or the process leaves. Rejects with `CONFLICT` when it is another's. */
  async drive(): Promise<SagaState<D>> {
    const { journal, stopping } = this.#parts;
    for (;;) {
      const { status } = journal.state;
      if (stopping.aborted || (status !== "running" && status !== "compensating")) return journal.state;
      if (status === "running") await this.#forward();
      else await this.#back();
    }
  }

  async #forward(): Promise<void> {
    const { journal, definition } = this.#parts;
    const at = definition.stages.findIndex((steps) => steps.some(({ name }) => !isOver(this.#step(name))));
    const stage = definition.stages[at];
    if (stage === undefined) return journal.write("SagaEnded", { status: "completed" });
    const open = stage.filter(({ name }) => !isOver(this.#step(name)));
    const before = definition.stages.slice(0, at).flat();
    const data = dataAfter(
      journal.state,
      before.map(({ name }) => name),
    );
    const results = await Promise.allSettled(
      open
        .filter(({ name }) => this.#step(name).status !== "failed")
        .map((step) => this.#do(step, "action", data)),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const failed = stage.find(({ name }) => this.#step(name).status === "failed");
    if (failed !== undefined) await this.#giveUp(failed);
  }

  async #giveUp({ name, onFailure }: Step<D>): Promise<void> {
    const { journal, definition } = this.#parts;
    if ((onFailure ?? definition.onFailure) === "wait") return journal.write("SagaStuck", { step: name });
    const error = this.#step(name).error as KeptError;
    await journal.write("CompensationRequested", { failedStep: name, error });
  }

  async #back(): Promise<void> {
    const { journal, definition } = this.#parts;
    const steps = definition.stages.flat().toReversed();
    const next = steps.find(({ name, compensation }) => {
      const { status } = this.#step(name);
      return compensation !== undefined && (status === "completed" || status === "compensating");
    });
    if (next !== undefined) {
      await this.#do(next, "compensation", journal.state.data);
      return;
    }
    const isWhole = steps.every(({ name }) => this.#step(name).status !== "uncompensated");
    await journal.write("SagaEnded", { status: isWhole ? "compensated" : "failed" });
  }

  /** One step, or its compensation, with its retries, until it is over or has failed for good. */
  async #do(step: Step<D>, kind: Kind, data: D): Promise<void> {
    const { journal, stopping } = this.#parts;
    const { name } = step;
    for (;;) {
      await this.#wait(step, kind);
      if (stopping.aborted) return;
      if (this.#step(name).unended >= MAX_CRASHES) return await this.#failed(step, kind, crashed(name));
      await journal.write(kind === "action" ? "StepStarted" : "CompensationStarted", { step: name });
      const outcome = await this.#attempt(step, kind, data).then(
        (result: unknown) => ({ result }),
        (error: unknown) => ({ error }),
      );
      this.#checkOurs();
      if (!("error" in outcome)) {
        if (kind === "action") return await this.#completed(name, outcome.result);
        return await journal.write("CompensationCompleted", { step: name });
      }
      await this.#failed(step, kind, outcome.error);
      const { status } = this.#step(name);
      if (status === "failed" || status === "uncompensated") return;
    }
  }

  #attempt(step: Step<D>, kind: Kind, data: D): Promise<unknown> {
    const { journal, clock, lost } = this.#parts;
    const { name, timeoutMs } = step;
    const { id } = journal.ref;
    const key = kind === "action" ? `${id}:${name}` : `${id}:${name}:undo`;
    return attempt({
      run: kind === "action" ? step.action : (step.compensation as Step<D>["action"]),
      // What a step changes in place is nobody else's business: its result counts.
      data: structuredClone(data),
      context: { sagaId: id, step: name, attempt: this.#step(name).attempts, key },
      timeoutMs,
      clock,
      lost,
    });
  }

  async #completed(step: string, result: unknown): Promise<void> {
    const { journal } = this.#parts;
    try {
      await journal.write("StepCompleted", { step, result: result ?? null });
    } catch (error) {
      if (!isHeraldError(error) || !NEVER_KEPT.has(error.code)) throw error;
      // It has taken effect, and what it gave back cannot be gone on with: it is undone with the rest.
      await journal.write("StepCompleted", { step, result: null });
      await journal.write("CompensationRequested", { failedStep: step, error: keptError(error).error });
    }
  }

  async #failed(step: Step<D>, kind: Kind, thrown: unknown): Promise<void> {
    const { journal, clock } = this.#parts;
    const { name } = step;
    const { error, isFinal } = keptError(thrown);
    const delayMs =
      isFinal || isCrash(thrown) ? undefined : policyOf(step, kind).delayAfter(this.#step(name).failures + 1);
    const retryAt = delayMs === undefined ? null : clock.now() + delayMs;
    const type = kind === "action" ? "StepFailed" : "CompensationFailed";
    await journal.write(type, { step: name, error, retryAt });
  }

  async #wait(step: Step<D>, kind: Kind): Promise<void> {
    const { clock, lost, stopping } = this.#parts;
    const { retryAt = 0, failures } = this.#step(step.name);
    // A wall clock that was set back makes nobody wait for longer than the policy says.
    const most = policyOf(step, kind).delayAfter(failures) ?? 0;
    const delayMs = Math.min(retryAt - clock.now(), most);
    if (delayMs > 0) await pause(clock, delayMs, [lost, stopping]);
    this.#checkOurs();
  }

  #checkOurs(): void {
    const { lost, journal } = this.#parts;
    if (lost.aborted) throw takenOver(journal.ref.name, journal.ref.id);
  }

  #step(name: string): StepState {
    return stepOf(this.#parts.journal.state, name);
  }
}

function isOver({ status }: StepState): boolean {
  return status === "completed" || status === "skipped";
}

function policyOf<D>({ retry, compensationRetry }: Step<D>, kind: Kind): RetryPolicy {
  const options = kind === "action" ? retry : (compensationRetry ?? retry);
  if (options !== undefined) return retryPolicy(options);
  return kind === "action" ? ONCE : UNDO;
}

function crashed(step: string): HeraldError {
  const message = `Step '${step}' was begun ${MAX_CRASHES} times and its process ended every time: look what it does to it.`;
  return new HeraldError("HANDLER_FAILED", message, { details: { step, reason: "crashed" } });
}

function isCrash(thrown: unknown): boolean {
  return thrown instanceof HeraldError && thrown.details["reason"] === "crashed";
}
