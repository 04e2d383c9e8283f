import { EventEmitter } from "node:events";
import { systemClock, type Clock, type TimerHandle } from "../../core/clock.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { Hysteresis, type HealthReport } from "./hysteresis.ts";
import { coordinationSettings, type CoordinationConfig, type CoordinationSettings } from "./mode-options.ts";

export type { CoordinationConfig } from "./mode-options.ts";
export type { HealthReport } from "./hysteresis.ts";

/** Where publishers write: the shared primary, a primary that is slow or partly well, or this machine's fallback. */
export const CoordinationMode = {
  DISTRIBUTED: "distributed",
  DEGRADED: "degraded",
  ISOLATED: "isolated",
} as const;

/** One of the values of {@link CoordinationMode}. */
export type CoordinationMode = (typeof CoordinationMode)[keyof typeof CoordinationMode];

/** One change of the mode. */
export interface ModeChange {
  /** Null: the first mode after start(). */
  readonly from: CoordinationMode | null;
  readonly to: CoordinationMode;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly reason: string;
  /** Counts the changes of this manager: 1 is the first mode. */
  readonly epoch: number;
}

/** What others are told of a change, on `coordination:mode_change` and in the notifications file. */
export interface ModeNotification {
  readonly action: "SWITCH_TO_BRANCHES" | "MERGE_TO_MAIN" | "WORK_ISOLATED" | "RESUME_COORDINATION";
  readonly newMode: CoordinationMode;
  /** Epoch milliseconds. */
  readonly timestamp: number;
}

/** What must be done before a mode is left for another. A rejection keeps the mode. */
export type ModeActions = (from: CoordinationMode, to: CoordinationMode) => Promise<void>;

/** Where the mode and its history are kept. A store that fails is told as `stateError` and stops nothing. */
export interface CoordinationState {
  save(mode: CoordinationMode, history: readonly ModeChange[]): Promise<void>;
  notify(notification: ModeNotification): Promise<void>;
}

/** What a manager needs; only `probe` is required. */
export interface CoordinationModeManagerOptions extends CoordinationConfig {
  /** How the primary is. A rejection counts as `unhealthy`. It must settle by itself: it has its own deadline. */
  readonly probe: () => Promise<HealthReport>;
  readonly clock?: Clock;
  readonly actions?: ModeActions;
  readonly state?: CoordinationState;
}

/** Its events and what listeners are called with. */
export interface CoordinationEvents {
  modeChanged: [from: CoordinationMode | null, to: CoordinationMode];
  transitionStarted: [from: CoordinationMode, to: CoordinationMode];
  transitionComplete: [mode: CoordinationMode];
  transitionFailed: [error: Error];
  notification: [notification: ModeNotification];
  health: [report: HealthReport];
  stateError: [error: Error];
}

const KEPT_CHANGES = 1000;

/**
 * Decides the coordination mode. Health reports come from its own probe, on its own timer, and from whoever calls
 * `recordSuccess` and `recordFailure`, so that failing traffic is noticed before the next probe. Down it goes at once;
 * up only after `holdDownMs` of health. A mode set by hand to ISOLATED stays until it is set by hand again.
 */
export class CoordinationModeManager extends EventEmitter<CoordinationEvents> {
  readonly #options: CoordinationModeManagerOptions;
  readonly #settings: CoordinationSettings;
  readonly #clock: Clock;
  readonly #hysteresis: Hysteresis;
  readonly #history: ModeChange[] = [];
  #mode: CoordinationMode = CoordinationMode.ISOLATED;
  #epoch = 0;
  #running = false;
  #isTransitioning = false;
  #isPinned = false;
  #changedAt = -Infinity;
  #probing: Promise<HealthReport> | undefined;
  #probeTimer: TimerHandle | undefined;
  #checkTimer: TimerHandle | undefined;

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(options: CoordinationModeManagerOptions) {
    super();
    this.#options = options;
    this.#settings = coordinationSettings(options);
    this.#clock = options.clock ?? systemClock;
    this.#hysteresis = new Hysteresis(this.#clock, this.#settings);
  }

  get isTransitioning(): boolean {
    return this.#isTransitioning;
  }

  /** True while the mode was set by hand and is kept. */
  get isPinned(): boolean {
    return this.#isPinned;
  }

  /** How often the mode has changed, the first mode included. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The latest health report; undefined before the first. */
  get health(): HealthReport | undefined {
    return this.#hysteresis.latest;
  }

  getMode(): CoordinationMode {
    return this.#mode;
  }

  /** Oldest first; the latest thousand. */
  getModeHistory(): readonly ModeChange[] {
    return this.#history;
  }

  /** Probes once, takes the mode that fits, announces it as `modeChanged(null, mode)`, and goes on probing. Idempotent. */
  async start(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const report = await this.#probe();
    this.#hysteresis.report(report);
    if (this.#epoch === 0) await this.#set(null, modeOf(report), "Started");
    this.#arm();
    this.#armCheck();
  }

  /** Ends probing; the mode stays. Idempotent. */
  stop(): void {
    this.#running = false;
    this.#probeTimer?.cancel();
    this.#checkTimer?.cancel();
  }

  /** The mode that the primary's health calls for now, by a probe of its own. */
  async detectMode(): Promise<CoordinationMode> {
    return modeOf(await this.#probe());
  }

  /**
   * Switches by hand. The mode that is on already is left alone. Within `transitionCooldown` of the last change, or while
   * another transition runs, it emits `transitionFailed` and resolves. Rejects with what an action rejects with; the mode
   * is then unchanged. ISOLATED set by hand stays until the next call; `release` lets health decide again.
   */
  async switchMode(mode: CoordinationMode, reason = "Manual switch"): Promise<void> {
    if (mode === this.#mode) {
      this.#isPinned = mode === CoordinationMode.ISOLATED;
      return;
    }
    if (this.#isTransitioning || this.#isCooling()) {
      const message = this.#isTransitioning ? "Transition in progress" : "Transition cooldown active";
      this.emit("transitionFailed", new HeraldError("CONFLICT", message));
      return;
    }
    await this.#transition(mode, reason);
    this.#isPinned = mode === CoordinationMode.ISOLATED;
  }

  /** Lets health decide again after a switch by hand. */
  release(): void {
    this.#isPinned = false;
  }

  /** A call to the primary succeeded. Cheap: for every call. */
  recordSuccess(): void {
    this.#hysteresis.success();
  }

  /** A call to the primary failed; `isDeadline`: it was not answered in time, which alone is enough to switch down. */
  recordFailure(reason: string, isDeadline = false): void {
    if (this.#hysteresis.failure(isDeadline)) this.#down(reason);
  }

  /** Probes now and acts on what is found. Called by its own timer; rejects never. */
  async checkHealth(): Promise<HealthReport> {
    const report = await this.#probe();
    this.#hysteresis.report(report);
    this.emit("health", report);
    this.#act(report);
    // Whoever asked: a primary that is not well is looked at again soon.
    if (report.status !== "healthy") this.#arm();
    return report;
  }

  #act(report: HealthReport): void {
    if (!this.#running || this.#isPinned || this.#isTransitioning) return;
    const { mode, hysteresis } = { mode: this.#mode, hysteresis: this.#hysteresis };
    if (report.status === "unhealthy") {
      if (mode !== CoordinationMode.ISOLATED && hysteresis.isFailing)
        this.#down(mode === CoordinationMode.DEGRADED ? "Primary unhealthy" : "Primary unavailable");
      return;
    }
    if (mode === CoordinationMode.ISOLATED) {
      if (hysteresis.isWell) this.#try(CoordinationMode.DEGRADED, "Primary available");
    } else if (report.status === "degraded") {
      if (mode === CoordinationMode.DISTRIBUTED && hysteresis.isFailing)
        this.#try(CoordinationMode.DEGRADED, "Primary health degraded");
    } else if (mode === CoordinationMode.DEGRADED && !this.#isCooling())
      this.#try(CoordinationMode.DISTRIBUTED, "Primary health recovered");
  }

  /** Down is never made to wait for a cooldown: until then every publish would find out for itself. */
  #down(reason: string): void {
    if (!this.#running || this.#isPinned || this.#mode === CoordinationMode.ISOLATED) return;
    this.#hysteresis.fell();
    this.#try(CoordinationMode.ISOLATED, reason);
    this.#arm();
  }

  #try(mode: CoordinationMode, reason: string): void {
    if (this.#isTransitioning) return;
    // What went wrong was told as transitionFailed; the next report tries again.
    this.#transition(mode, reason).catch(() => {});
  }

  async #transition(to: CoordinationMode, reason: string): Promise<void> {
    const from = this.#mode;
    this.#isTransitioning = true;
    try {
      this.emit("transitionStarted", from, to);
      if (this.#options.actions !== undefined) await this.#options.actions(from, to);
      await this.#announce(from, to);
      await this.#set(from, to, reason);
    } catch (error) {
      this.emit("transitionFailed", toHeraldError(error));
      throw error;
    } finally {
      this.#isTransitioning = false;
    }
    this.emit("transitionComplete", to);
  }

  async #announce(from: CoordinationMode, to: CoordinationMode): Promise<void> {
    const notification = { action: actionOf(from, to), newMode: to, timestamp: this.#clock.now() };
    this.emit("notification", notification);
    await this.#keep((state) => state.notify(notification));
  }

  async #set(from: CoordinationMode | null, to: CoordinationMode, reason: string): Promise<void> {
    const timestamp = this.#clock.now();
    this.#mode = to;
    this.#changedAt = from === null ? -Infinity : this.#clock.monotonic();
    this.#history.push({ from, to, timestamp, reason, epoch: ++this.#epoch });
    if (this.#history.length > KEPT_CHANGES) this.#history.shift();
    await this.#keep((state) => state.save(to, this.#history));
    emit("modeChanged", () => ({ from, to, reason, at: timestamp }));
    this.emit("modeChanged", from, to);
  }

  async #keep(run: (state: CoordinationState) => Promise<void>): Promise<void> {
    if (this.#options.state === undefined) return;
    try {
      await run(this.#options.state);
    } catch (error) {
      this.emit("stateError", toHeraldError(error));
    }
  }

  #isCooling(): boolean {
    return this.#clock.monotonic() - this.#changedAt < this.#settings.transitionCooldown;
  }

  /** One probe at a time, whoever asks. */
  #probe(): Promise<HealthReport> {
    this.#probing ??= this.#ask().finally(() => (this.#probing = undefined));
    return this.#probing;
  }

  async #ask(): Promise<HealthReport> {
    try {
      return await this.#options.probe();
    } catch (error) {
      return { status: "unhealthy", latencyMs: null, reason: toHeraldError(error).message };
    }
  }

  #arm(): void {
    if (!this.#running) return;
    this.#probeTimer?.cancel();
    const isWell = this.#mode !== CoordinationMode.ISOLATED && !this.#hysteresis.isSuspect;
    const delayMs = isWell ? this.#settings.healthCheckInterval : this.#settings.retryInterval;
    this.#probeTimer = this.#clock.setTimer(delayMs, () => {
      void this.checkHealth().finally(() => this.#arm());
    });
  }

  #armCheck(): void {
    if (!this.#running) return;
    this.#checkTimer = this.#clock.setTimer(this.#settings.modeCheckInterval, () => {
      void this.#check().finally(() => this.#armCheck());
    });
  }

  /** The slow second look: whatever the counters say, the mode must fit what a probe finds. */
  async #check(): Promise<void> {
    const wanted = await this.detectMode();
    if (!this.#running || this.#isPinned || this.#isTransitioning || wanted === this.#mode) return;
    const reason = "Periodic health check detected change";
    if (wanted === CoordinationMode.ISOLATED) this.#down(reason);
    else if (this.#mode !== CoordinationMode.ISOLATED || this.#hysteresis.isWell) this.#try(wanted, reason);
  }
}

function modeOf({ status }: HealthReport): CoordinationMode {
  if (status === "healthy") return CoordinationMode.DISTRIBUTED;
  return status === "degraded" ? CoordinationMode.DEGRADED : CoordinationMode.ISOLATED;
}

function actionOf(from: CoordinationMode, to: CoordinationMode): ModeNotification["action"] {
  if (to === CoordinationMode.ISOLATED) return "WORK_ISOLATED";
  if (from === CoordinationMode.ISOLATED) return "RESUME_COORDINATION";
  return to === CoordinationMode.DEGRADED ? "SWITCH_TO_BRANCHES" : "MERGE_TO_MAIN";
}
