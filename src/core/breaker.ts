import type { Clock } from "./clock.ts";
import { HeraldError } from "./errors.ts";
import { emit } from "./events.ts";

/** `closed`: everything goes through. `open`: nothing does. `half-open`: one call at a time does, to see whether it works again. */
export type BreakerState = "closed" | "open" | "half-open";

/** What a breaker stands before: the handler of a subscription, the channel that commands are sent to, the broker. */
export type BreakerKind = "handler" | "command" | "broker";

/** Decides when a breaker opens. A part of cockatiel's `IBreaker`. */
export interface TripPolicy {
  success(): void;
  /** True: open now. */
  failure(): boolean;
}

/** What a breaker is made of. */
export interface BreakerParts {
  readonly agentId: string;
  readonly kind: BreakerKind;
  /** The channel or pattern; of a broker, its name. */
  readonly name: string;
  readonly clock: Clock;
  /** A policy that has seen nothing: asked for at the start and whenever it closes. */
  readonly createPolicy: () => TripPolicy;
  /** How long it stays open before a call is let through. */
  readonly openMs: number;
  /** Calls that must succeed, one after the other, before it closes. */
  readonly probes: number;
}

/** One breaker, as metrics and health show it. */
export interface BreakerFigures {
  readonly kind: BreakerKind;
  readonly name: string;
  readonly state: BreakerState;
  /** How often it opened. */
  readonly opened: number;
  /** Calls that it refused. */
  readonly refused: number;
}

/**
 * A circuit breaker: after failures it lets nothing through for a while, then one call at a time until that works. Whoever is
 * admitted must tell how it ended, once: `succeeded`, `failed` or `undecided`.
 */
export class Breaker {
  readonly #parts: BreakerParts;
  #policy: TripPolicy;
  #state: BreakerState = "closed";
  /** Monotonic milliseconds. */
  #openUntil = 0;
  #isProbing = false;
  #passed = 0;
  #opened = 0;
  #refused = 0;

  constructor(parts: BreakerParts) {
    this.#parts = parts;
    this.#policy = parts.createPolicy();
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** How long until a call is let through, milliseconds; 0: now. */
  get waitMs(): number {
    return this.#state === "open" ? Math.max(0, this.#openUntil - this.#parts.clock.monotonic()) : 0;
  }

  /** True while a call is out that decides whether it closes. */
  get isProbing(): boolean {
    return this.#isProbing;
  }

  get figures(): BreakerFigures {
    const { kind, name } = this.#parts;
    return { kind, name, state: this.#state, opened: this.#opened, refused: this.#refused };
  }

  /** May one call go? */
  admit(): boolean {
    if (this.#state === "closed") return true;
    if (this.#isProbing || this.waitMs > 0) {
      this.#refused++;
      return false;
    }
    if (this.#state === "open") this.#become("half-open", "its time is over");
    this.#isProbing = true;
    return true;
  }

  succeeded(): void {
    if (this.#state === "closed") this.#policy.success();
    if (this.#state !== "half-open") return;
    this.#isProbing = false;
    if (++this.#passed < this.#parts.probes) return;
    this.#policy = this.#parts.createPolicy();
    this.#become("closed", "it works again");
  }

  failed(error: HeraldError): void {
    // What was on its way when it opened says nothing new.
    if (this.#state === "open") return;
    if (this.#state === "closed" && !this.#policy.failure()) return;
    this.#isProbing = false;
    this.#passed = 0;
    this.#opened++;
    this.#openUntil = this.#parts.clock.monotonic() + this.#parts.openMs;
    this.#become("open", error.message);
  }

  /** The call ended and says nothing of whether it works: it was cancelled, or it never came to it. */
  undecided(): void {
    this.#isProbing = false;
  }

  /** What a call gets that is refused. */
  refusal(): HeraldError {
    const { kind, name } = this.#parts;
    const waitMs = Math.ceil(this.waitMs);
    const message = `The circuit breaker of ${kind} '${name}' is open after failures; it tries again in ${waitMs} ms: ask later, or look at what failed.`;
    return new HeraldError("CIRCUIT_OPEN", message, { details: { kind, name, waitMs } });
  }

  #become(to: BreakerState, reason: string): void {
    const from = this.#state;
    this.#state = to;
    const { agentId, kind, name, clock } = this.#parts;
    emit("circuitChanged", () => ({ agent: agentId, kind, name, from, to, reason, at: clock.now() }));
  }
}
