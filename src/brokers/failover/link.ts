import type { Broker, Capabilities } from "../../core/broker.ts";
import { toHeraldError } from "../../core/errors.ts";
import type { Clock } from "../../core/clock.ts";
import type { HealthReport } from "./coordination-mode.ts";
import type { TimeLimits } from "./deadline.ts";
import { MARK_CHANNEL } from "./marks.ts";
import { isDeadline } from "./outage.ts";
import type { FailoverSettings } from "./options.ts";

/** What a link tells when the primary answers. */
export interface LinkOwner {
  /** It was opened for the first time. A rejection keeps it from being used. */
  opened(capabilities: Capabilities): Promise<void>;
  /** It answers. Called after every good probe. */
  answered(): void;
  /** It does not answer any more. */
  lost(): void;
}

/** The primary as it is now: opened when it can be, probed, up or not. */
export class PrimaryLink {
  readonly #broker: Broker;
  readonly #settings: FailoverSettings;
  readonly #clock: Clock;
  readonly #limits: TimeLimits;
  readonly #owner: LinkOwner;
  #opening: Promise<Capabilities> | undefined;
  #isOpen = false;
  #isUp = false;

  constructor(settings: FailoverSettings, limits: TimeLimits, owner: LinkOwner) {
    this.#broker = settings.primary;
    this.#settings = settings;
    this.#clock = settings.clock;
    this.#limits = limits;
    this.#owner = owner;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** True while the latest probe found it well enough to be used. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Opens it, within its deadline. Rejects with what opening rejects with, or `TIMEOUT`; opening may be tried again. */
  async open(signal?: AbortSignal): Promise<Capabilities> {
    this.#opening ??= this.#broker.open(signal).catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#limits.within(this.#opening, this.#settings.openDeadlineMs, "open");
  }

  markOpen(): void {
    this.#isOpen = true;
    this.#isUp = true;
  }

  /** How it is now. Never rejects. */
  readonly probe = async (): Promise<HealthReport> => {
    const report = await this.#look();
    if (report.status === "unhealthy") this.#set(false);
    else {
      this.#set(true);
      this.#owner.answered();
    }
    return report;
  };

  /** A call has failed so that it need not be asked again before a probe has found it well. */
  failed(): void {
    this.#set(false);
  }

  async #look(): Promise<HealthReport> {
    const startedAt = this.#clock.monotonic();
    try {
      if (!this.#isOpen) {
        const capabilities = await this.open();
        await this.#owner.opened(capabilities);
        this.#isOpen = true;
      }
      const { state } = await this.#limits.within(
        this.#broker.inspect({ channels: [MARK_CHANNEL] }),
        this.#settings.callDeadlineMs,
        "a probe",
      );
      const latencyMs = this.#clock.monotonic() - startedAt;
      if (state === "down") return { status: "unhealthy", latencyMs, reason: "The primary says it is down." };
      const isSlow = latencyMs > this.#settings.degradedLatencyMs;
      if (state === "up" && !isSlow) return { status: "healthy", latencyMs };
      return { status: "degraded", latencyMs, reason: isSlow ? "It is slow." : "It says it is degraded." };
    } catch (error) {
      const { message } = toHeraldError(error);
      return { status: "unhealthy", latencyMs: null, isDeadline: isDeadline(error), reason: message };
    }
  }

  #set(isUp: boolean): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    if (!isUp) this.#owner.lost();
  }
}
