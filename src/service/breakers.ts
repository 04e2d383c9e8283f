import type * as Cockatiel from "cockatiel";
import { peer } from "../codec/peer.ts";
import { Breaker, type BreakerFigures, type BreakerKind, type TripPolicy } from "../core/breaker.ts";
import type { Clock } from "../core/clock.ts";
import { ERROR_CODES, toHeraldError, type HeraldError } from "../core/errors.ts";
import type { CircuitBreakerOptions, CircuitBreakers } from "./circuit-options.ts";
import { aboveZero, checkOptions, whole, wrongOption } from "./check-options.ts";

/** The breakers of a service as they were asked for. */
export type BreakerPlan = Readonly<Partial<Record<keyof CircuitBreakers, CircuitBreakerOptions>>>;

const KINDS: Readonly<Record<keyof CircuitBreakers, true>> = { handlers: true, commands: true, broker: true };
/** Breakers of channels that were asked, at most: a flood of names must not become a flood of breakers. */
const MAX_COMMANDS = 10_000;

/** Reads the option `circuitBreaker`; throws `INVALID_ARGUMENT` naming the field. */
export function breakerPlan(given: boolean | CircuitBreakers | undefined): BreakerPlan {
  if (given === undefined || given === false) return {};
  if (given === true) return { handlers: {}, commands: {}, broker: {} };
  checkOptions(given);
  const plan: Partial<Record<keyof CircuitBreakers, CircuitBreakerOptions>> = {};
  for (const [kind, value] of Object.entries(given)) {
    if (!Object.hasOwn(KINDS, kind))
      throw wrongOption("circuitBreaker", "of handlers, commands, broker", kind);
    const options = breakerOptions(`circuitBreaker.${kind}`, value as boolean | CircuitBreakerOptions);
    if (options !== undefined) plan[kind as keyof CircuitBreakers] = options;
  }
  return plan;
}

/** One breaker's options, checked; undefined: none is wanted. Throws `INVALID_ARGUMENT` naming the field. */
export function breakerOptions(
  field: string,
  given: boolean | CircuitBreakerOptions | undefined,
): CircuitBreakerOptions | undefined {
  if (given === undefined || given === false) return undefined;
  if (given === true) return {};
  if (typeof given !== "object" || given === null)
    throw wrongOption(field, "true, false or an object", given);
  const { failures, sampling, openMs, probes } = given;
  if (failures !== undefined) whole(`${field}.failures`, failures);
  if (probes !== undefined) whole(`${field}.probes`, probes);
  if (openMs !== undefined) aboveZero(`${field}.openMs`, openMs);
  if (sampling === undefined) return given;
  if (failures !== undefined) throw wrongOption(field, "either failures or sampling", given);
  if (!(sampling.threshold > 0 && sampling.threshold < 1))
    throw wrongOption(`${field}.sampling.threshold`, "above 0 and below 1", sampling.threshold);
  aboveZero(`${field}.sampling.windowMs`, sampling.windowMs);
  if (sampling.minimumPerSecond !== undefined)
    aboveZero(`${field}.sampling.minimumPerSecond`, sampling.minimumPerSecond);
  return given;
}

/** The circuit breakers of one run of a service. */
export class Breakers {
  readonly #plan: BreakerPlan;
  readonly #agentId: string;
  readonly #clock: Clock;
  readonly #commands = new Map<string, Breaker>();
  readonly #others = new Set<Breaker>();

  /** Throws `UNSUPPORTED`, naming the package, when breakers are wanted and it is missing. */
  constructor(plan: BreakerPlan, agentId: string, clock: Clock) {
    if (Object.keys(plan).length > 0) loadCockatiel();
    this.#plan = plan;
    this.#agentId = agentId;
    this.#clock = clock;
  }

  get figures(): readonly BreakerFigures[] {
    return [...this.#others, ...this.#commands.values()].map((breaker) => breaker.figures);
  }

  /** The breaker of one subscription, to be kept when that stands; undefined: none is wanted. Throws `INVALID_ARGUMENT`, `UNSUPPORTED`. */
  handler(pattern: string, given: boolean | CircuitBreakerOptions | undefined): Breaker | undefined {
    const options = given === undefined ? this.#plan.handlers : breakerOptions("circuitBreaker", given);
    return options === undefined ? undefined : create(this.#parts("handler", pattern), options);
  }

  /** The breaker before the broker. */
  broker(name: string): Breaker | undefined {
    const { broker } = this.#plan;
    const made = broker === undefined ? undefined : create(this.#parts("broker", name), broker);
    this.keep(made);
    return made;
  }

  /** Shows a breaker among the figures. */
  keep(breaker: Breaker | undefined): void {
    if (breaker !== undefined) this.#others.add(breaker);
  }

  /** A subscription has ended. */
  forget(breaker: Breaker | undefined): void {
    if (breaker !== undefined) this.#others.delete(breaker);
  }

  /** Asks a channel behind its breaker. */
  async ask<T>(channel: string, ask: () => Promise<T>): Promise<T> {
    const breaker = this.#command(channel);
    if (breaker === undefined) return ask();
    if (!breaker.admit()) throw breaker.refusal();
    try {
      const answer = await ask();
      breaker.succeeded();
      return answer;
    } catch (error) {
      tell(breaker, toHeraldError(error));
      throw error;
    }
  }

  #command(channel: string): Breaker | undefined {
    const { commands } = this.#plan;
    if (commands === undefined) return undefined;
    const known = this.#commands.get(channel);
    if (known !== undefined) return known;
    if (this.#commands.size >= MAX_COMMANDS) this.#commands.clear();
    const made = create(this.#parts("command", channel), commands);
    this.#commands.set(channel, made);
    return made;
  }

  #parts(kind: BreakerKind, name: string) {
    return { agentId: this.#agentId, kind, name, clock: this.#clock };
  }
}

/** Nobody answered, or who answered is not well; an answer of its own words is an answer. */
function tell(breaker: Breaker, error: HeraldError): void {
  const isUnanswered = error.name === "RequestTimeoutError" || error.name === "NoResponderError";
  const isAnswer = error.name === "CommandError";
  if (isUnanswered || (isAnswer && isUnwell(error.code))) breaker.failed(error);
  else if (isAnswer) breaker.succeeded();
  else breaker.undecided();
}

function isUnwell(code: string): boolean {
  return Object.hasOwn(ERROR_CODES, code) && ERROR_CODES[code as keyof typeof ERROR_CODES];
}

function create(
  parts: {
    readonly agentId: string;
    readonly kind: BreakerKind;
    readonly name: string;
    readonly clock: Clock;
  },
  options: CircuitBreakerOptions,
): Breaker {
  const { openMs = 30_000, probes = 1 } = options;
  return new Breaker({ ...parts, openMs, probes, createPolicy: () => policyOf(options) });
}

/** Loaded when the first breaker is wanted. */
const loadCockatiel = peer("cockatiel", "A circuit breaker") as () => typeof Cockatiel;

/** The policy is cockatiel's; what it would do in other states than `closed` is the breaker's own. */
function policyOf({ failures = 5, sampling }: CircuitBreakerOptions): TripPolicy {
  const { CircuitState, ConsecutiveBreaker, SamplingBreaker } = loadCockatiel();
  if (sampling === undefined) return new ConsecutiveBreaker(failures);
  const { threshold, windowMs, minimumPerSecond } = sampling;
  const minimum = minimumPerSecond === undefined ? {} : { minimumRps: minimumPerSecond };
  const samples = new SamplingBreaker({ threshold, duration: windowMs, ...minimum });
  return {
    success: () => samples.success(CircuitState.Closed),
    failure: () => samples.failure(CircuitState.Closed),
  };
}
