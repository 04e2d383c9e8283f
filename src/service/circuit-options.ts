/** When a circuit breaker opens, and for how long. All optional. */
export interface CircuitBreakerOptions {
  /** Opens after so many failures in a row. Default 5. */
  readonly failures?: number;
  /** Opens when more than this part of what ended within a window failed; in place of `failures`. */
  readonly sampling?: {
    /** Above 0, below 1. */
    readonly threshold: number;
    readonly windowMs: number;
    /** Never below so many ends a second. Default: so that at least 5 a second fail. */
    readonly minimumPerSecond?: number;
  };
  /** How long it stays open before it lets one through. Default 30,000. */
  readonly openMs?: number;
  /** How many must succeed, one after the other, before it closes. Default 1. */
  readonly probes?: number;
}

/** Which circuit breakers a service has; `true`: with the defaults. */
export interface CircuitBreakers {
  /** One for each subscription. */
  readonly handlers?: boolean | CircuitBreakerOptions;
  /** One for each channel that is asked: of a command, its agent and name. */
  readonly commands?: boolean | CircuitBreakerOptions;
  /** One before the broker: what is published while it is open is refused at once. */
  readonly broker?: boolean | CircuitBreakerOptions;
}
