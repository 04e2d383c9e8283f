import { HeraldError, showValue } from "../../core/errors.ts";

/** How the mode is decided; all optional. Intervals in milliseconds. */
export interface CoordinationConfig {
  /** How often the mode is compared with what a probe finds, whatever the counters say. Default 30,000. */
  readonly modeCheckInterval?: number;
  /** The shortest time between a change and the next one upwards or by hand. Default 5000. */
  readonly transitionCooldown?: number;
  /** Bad reports in a row until the mode is left. Default 3. */
  readonly healthDegradationThreshold?: number;
  /** How often the primary is probed while all is well. Default 5000. */
  readonly healthCheckInterval?: number;
  /** How often it is probed while it is not. Default 1000. */
  readonly retryInterval?: number;
  /** How long the primary must be reachable before publishers go back to it. Default 10,000. */
  readonly holdDownMs?: number;
  /** Share of failed calls that is enough, of at least twenty. Default 0.5. */
  readonly errorRate?: number;
  /** Over how long the share is taken. Default 10,000. */
  readonly errorRateWindowMs?: number;
}

/** Options with every default filled in. */
export type CoordinationSettings = Required<CoordinationConfig>;

const DEFAULTS: CoordinationSettings = {
  modeCheckInterval: 30_000,
  transitionCooldown: 5000,
  healthDegradationThreshold: 3,
  healthCheckInterval: 5000,
  retryInterval: 1000,
  holdDownMs: 10_000,
  errorRate: 0.5,
  errorRateWindowMs: 10_000,
};

/** Checks and fills in. Throws `INVALID_ARGUMENT` naming the field. */
export function coordinationSettings(config: CoordinationConfig): CoordinationSettings {
  const settings = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS) as (keyof CoordinationSettings)[]) {
    const value = config[name];
    if (value === undefined) continue;
    if (typeof value !== "number" || !(value >= 0)) {
      throw new HeraldError(
        "INVALID_ARGUMENT",
        `Coordination option '${name}' must be a number of 0 or more, not ${showValue(value)}.`,
        { details: { field: name } },
      );
    }
    settings[name] = value;
  }
  return settings;
}
