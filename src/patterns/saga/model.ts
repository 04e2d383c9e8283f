import type { RetryOptions } from "../../delivery/retry.ts";

/** What a step's functions are told beside the data. */
export interface StepContext {
  readonly sagaId: string;
  readonly step: string;
  /** How often this action, or this compensation, was begun: 1 first. */
  readonly attempt: number;
  /**
   * The same for every attempt, in whatever process: `<sagaId>:<step>`, for a compensation `<sagaId>:<step>:undo`. An action
   * whose process ended before its result was kept is begun again: what it does outside goes by this key.
   */
  readonly key: string;
  /** Fires when the step's time is over, or another process has taken the saga over. */
  readonly signal: AbortSignal;
}

/** Does a step, or undoes it. Plain or async. An object that it gives back is merged into the data; anything else is not. */
export type StepFunction<D> = (data: D, context: StepContext) => unknown;

/** How one step is run. */
export interface StepOptions {
  /** An attempt that takes longer has failed. Default: no limit. */
  readonly timeoutMs?: number;
  /** Of the action, and of the compensation too unless it has its own. Default: one attempt. */
  readonly retry?: RetryOptions;
  /** Of the compensation. Default: what `retry` says, else three attempts. */
  readonly compensationRetry?: RetryOptions;
  /** What becomes of the saga when the step has failed for good: `compensate`, or `wait` for a person. Default: the saga's. */
  readonly onFailure?: "compensate" | "wait";
}

/** One step. */
export interface Step<D> extends StepOptions {
  readonly name: string;
  readonly action: StepFunction<D>;
  readonly compensation?: StepFunction<D> | undefined;
}

/** An error as it is kept. */
export interface KeptError {
  readonly code: string;
  readonly message: string;
}

/** Where a step stands. */
export interface StepState {
  readonly status:
    | "pending"
    | "running"
    | "completed"
    | "failed"
    | "skipped"
    | "compensating"
    | "compensated"
    | "uncompensated";
  /** How often the action was begun. */
  readonly attempts: number;
  /** How often it failed since it was last asked for. */
  readonly failures: number;
  /** How often it was begun in a row and nothing was kept of how it ended: its process did. */
  readonly unended: number;
  readonly result?: unknown;
  /** The last failure, of the action or of the compensation. */
  readonly error?: KeptError;
  /** Why it was skipped. */
  readonly reason?: string;
  /** When the next attempt is due, epoch milliseconds. */
  readonly retryAt?: number;
}

/**
 * Where a saga stands. `stuck`: a step has failed and a person decides. `failed`: compensated, but for the steps that are
 * `uncompensated`.
 */
export interface SagaState<D> {
  readonly id: string;
  readonly status: "running" | "stuck" | "compensating" | "completed" | "compensated" | "failed";
  /** What it was started with, and the results of its steps merged into it in the order of the steps. */
  readonly data: D;
  /** What it was started with. */
  readonly input: D;
  /** The steps, in their order. */
  readonly order: readonly string[];
  readonly steps: Readonly<Record<string, StepState>>;
  readonly failedStep?: string;
  readonly error?: KeptError;
}

/** What happens to a saga: the events of its stream, by their type. */
export interface SagaEvents {
  SagaStarted: { readonly data: unknown; readonly steps: readonly string[] };
  /** Another process goes on, or a person has decided that this one does. */
  SagaResumed: Readonly<Record<string, never>>;
  StepStarted: { readonly step: string };
  StepCompleted: { readonly step: string; readonly result: unknown };
  StepFailed: { readonly step: string; readonly error: KeptError; readonly retryAt: number | null };
  StepSkipped: { readonly step: string; readonly reason: string };
  SagaStuck: { readonly step: string };
  RetryRequested: { readonly steps: readonly string[] };
  CompensationRequested: { readonly failedStep: string | null; readonly error: KeptError };
  CompensationStarted: { readonly step: string };
  CompensationCompleted: { readonly step: string };
  CompensationFailed: { readonly step: string; readonly error: KeptError; readonly retryAt: number | null };
  SagaEnded: { readonly status: "completed" | "compensated" | "failed" };
}

/** One of them. */
export type SagaEvent = {
  [T in keyof SagaEvents]: { readonly type: T; readonly data: SagaEvents[T] };
}[keyof SagaEvents];

const PENDING: StepState = { status: "pending", attempts: 0, failures: 0, unended: 0 };

/** Where a step stands; one that nothing is known of is pending. */
export function stepOf(state: SagaState<unknown>, step: string): StepState {
  return state.steps[step] ?? PENDING;
}

/** What the saga was started with, and the results of these steps. */
export function dataAfter<D>({ input, steps }: SagaState<D>, names: readonly string[]): D {
  return names.reduce<D>((data, name) => {
    const result = steps[name]?.result;
    return isObject(result) ? { ...data, ...result } : data;
  }, input);
}

/** Where a saga stands after an event. */
export function applied<D>(state: SagaState<D>, event: SagaEvent): SagaState<D> {
  switch (event.type) {
    case "SagaStarted": {
      const { data, steps } = event.data;
      const input = data as D;
      return {
        ...state,
        data: input,
        input,
        order: steps,
        steps: Object.fromEntries(steps.map((name) => [name, PENDING])),
      };
    }
    case "StepCompleted": {
      const { step, result } = event.data;
      const done = withStep(state, step, { status: "completed", result, unended: 0 });
      return { ...done, data: dataAfter(done, done.order) };
    }
    case "StepStarted":
    case "CompensationStarted":
      return begun(state, event.data.step, event.type === "StepStarted" ? "running" : "compensating");
    case "StepFailed":
      return failed(state, event.data, "running", "failed");
    case "CompensationFailed":
      return failed(state, event.data, "compensating", "uncompensated");
    case "CompensationCompleted":
      return withStep(state, event.data.step, { status: "compensated", unended: 0 });
    case "StepSkipped": {
      const { step, reason } = event.data;
      return { ...withStep(state, step, { status: "skipped", reason }), status: goingOn(state) };
    }
    case "RetryRequested":
      return event.data.steps.reduce<SagaState<D>>(retried, { ...state, status: goingOn(state) });
    default:
      return endedOrTurned(state, event);
  }
}

function endedOrTurned<D>(state: SagaState<D>, event: SagaEvent): SagaState<D> {
  switch (event.type) {
    case "SagaStuck":
      return { ...state, status: "stuck", failedStep: event.data.step };
    case "CompensationRequested": {
      const { failedStep, error } = event.data;
      const named = failedStep === null ? {} : { failedStep };
      return { ...state, status: "compensating", error, ...named };
    }
    case "SagaEnded":
      return { ...state, status: event.data.status };
    default:
      return state;
  }
}

/** What a stuck saga, or one whose compensation has failed, is when it goes on. */
function goingOn<D>({ status }: SagaState<D>): SagaState<D>["status"] {
  if (status === "stuck") return "running";
  return status === "failed" ? "compensating" : status;
}

function begun<D>(state: SagaState<D>, step: string, status: "running" | "compensating"): SagaState<D> {
  const { attempts, unended, status: before } = stepOf(state, step);
  // A compensation is counted for itself.
  const isFirst = status === "compensating" && before === "completed";
  if (isFirst) return withStep(state, step, { status, attempts: 1, unended: 1, failures: 0 });
  return withStep(state, step, { status, attempts: attempts + 1, unended: unended + 1 });
}

function failed<D>(
  state: SagaState<D>,
  failure: SagaEvents["StepFailed"],
  again: StepState["status"],
  forGood: StepState["status"],
): SagaState<D> {
  const { step, error, retryAt } = failure;
  const failures = stepOf(state, step).failures + 1;
  const due = retryAt === null ? {} : { retryAt };
  const status = retryAt === null ? forGood : again;
  return withStep(state, step, { status, error, failures, unended: 0, ...due });
}

function retried<D>(state: SagaState<D>, step: string): SagaState<D> {
  const { retryAt: _due, ...rest } = stepOf(state, step);
  const status = rest.status === "uncompensated" ? "compensating" : "pending";
  return { ...state, steps: { ...state.steps, [step]: { ...rest, status, failures: 0, unended: 0 } } };
}

function withStep<D>(state: SagaState<D>, step: string, change: Partial<StepState>): SagaState<D> {
  return { ...state, steps: { ...state.steps, [step]: { ...stepOf(state, step), ...change } } };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
