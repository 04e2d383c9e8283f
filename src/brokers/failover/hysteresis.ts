import type { Clock } from "../../core/clock.ts";
import type { CoordinationSettings } from "./mode-options.ts";

/** `degraded`: it answers, but slowly or only partly. */
type HealthStatus = "healthy" | "degraded" | "unhealthy";

/** What one probe found. */
export interface HealthReport {
  readonly status: HealthStatus;
  /** Null when it did not answer. */
  readonly latencyMs: number | null;
  /** True when it did not answer within its deadline: that alone switches down. */
  readonly isDeadline?: boolean;
  /** Why it is not healthy. */
  readonly reason?: string;
}

/** Calls of a window that must be seen before their error rate means anything. */
const RATE_LEAST = 20;

/** When bad news is enough, and when good news has lasted long enough: so that one slow call changes nothing. */
export class Hysteresis {
  readonly #clock: Clock;
  readonly #settings: CoordinationSettings;
  #latest: HealthReport | undefined;
  #failures = 0;
  #isLate = false;
  #wellSince: number | undefined;
  #windowFrom = -Infinity;
  #calls = 0;
  #failed = 0;

  constructor(clock: Clock, settings: CoordinationSettings) {
    this.#clock = clock;
    this.#settings = settings;
  }

  get latest(): HealthReport | undefined {
    return this.#latest;
  }

  /** Enough bad news to leave the mode. */
  get isFailing(): boolean {
    return this.#isLate || this.#failures >= this.#settings.healthDegradationThreshold;
  }

  /** The latest news was bad. */
  get isSuspect(): boolean {
    return this.#failures > 0;
  }

  /** It has been reachable for as long as `holdDownMs`. */
  get isWell(): boolean {
    return (
      this.#wellSince !== undefined && this.#clock.monotonic() - this.#wellSince >= this.#settings.holdDownMs
    );
  }

  /** What a probe found. */
  report(report: HealthReport): void {
    this.#latest = report;
    if (report.status !== "unhealthy") this.#wellSince ??= this.#clock.monotonic();
    if (report.status === "healthy") {
      this.#failures = 0;
      this.#isLate = false;
      return;
    }
    this.#failures++;
    if (report.status === "degraded") return;
    this.#isLate ||= report.isDeadline === true;
    this.#wellSince = undefined;
  }

  /** A call succeeded. */
  success(): void {
    this.#calls++;
    this.#failures = 0;
  }

  /** A call failed; true when that is enough. */
  failure(isDeadline: boolean): boolean {
    this.#wellSince = undefined;
    this.#failures++;
    this.#isLate ||= isDeadline;
    return this.isFailing || this.#isRateExceeded();
  }

  /** The mode was left: counting begins anew. */
  fell(): void {
    this.#wellSince = undefined;
    this.#isLate = false;
    this.#calls = 0;
    this.#failed = 0;
  }

  #isRateExceeded(): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#windowFrom > this.#settings.errorRateWindowMs) {
      this.#windowFrom = now;
      this.#calls = 0;
      this.#failed = 0;
    }
    this.#calls++;
    this.#failed++;
    return this.#calls >= RATE_LEAST && this.#failed / this.#calls >= this.#settings.errorRate;
  }
}
