import type { Broker } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import type { CoordinationMode, CoordinationModeManager } from "./coordination-mode.ts";
import { channelOfSpool, isInternal } from "./handover.ts";

/** What a switch would move, counted before it is made. */
export interface FailoverCounts {
  /** Messages on the fallback that the primary has not got. */
  readonly undrained: number;
  /** Messages on the fallback that a group of it has not handled, once for each such group. */
  readonly unhandled: number;
  /** Settlements that wait for a side. */
  readonly keptSettlements: number;
  /** Envelopes that wait for the primary's answer. */
  readonly pendingPublishes: number;
  /** Messages handed to the primary since this broker was opened. */
  readonly drained: number;
}

/** What an operator may do to a failover broker. */
export interface FailoverControl {
  readonly mode: CoordinationMode;
  /** What a switch would move now: the dry run of {@link switchTo}. */
  counts(): Promise<FailoverCounts>;
  /**
   * Switches by hand, here and in every process that shares the fallback; ISOLATED stays until the next switch by hand.
   * Rejects with `CONFLICT` within the cooldown.
   */
  switchTo(mode: CoordinationMode, reason?: string): Promise<void>;
}

/** What control needs of the broker. */
interface ControlHost {
  readonly coordination: CoordinationModeManager;
  readonly fallback: Broker;
  /** Tells the other processes. */
  tell(mode: CoordinationMode, reason: string): Promise<void>;
  figures(): Omit<FailoverCounts, "undrained" | "unhandled">;
}

/** The hand on the switch. */
export class Control implements FailoverControl {
  readonly #host: ControlHost;

  constructor(host: ControlHost) {
    this.#host = host;
  }

  get mode(): CoordinationMode {
    return this.#host.coordination.getMode();
  }

  async counts(): Promise<FailoverCounts> {
    const figures = this.#host.figures();
    const { channels } = await this.#host.fallback.inspect();
    let undrained = 0;
    let unhandled = 0;
    for (const { channel, groups } of channels) {
      const left = groups.reduce((sum, { lag }) => sum + (lag ?? 0), 0);
      if (channelOfSpool(channel) !== undefined) undrained += left;
      else if (!isInternal(channel)) unhandled += left;
    }
    return { ...figures, undrained, unhandled };
  }

  async switchTo(mode: CoordinationMode, reason?: string): Promise<void> {
    const { coordination } = this.#host;
    await coordination.switchMode(mode, reason);
    if (coordination.getMode() !== mode) {
      const message = "The mode changed a moment ago: try again when transitionCooldown is over.";
      throw new HeraldError("CONFLICT", message);
    }
    await this.#host.tell(mode, reason ?? "Manual switch");
  }
}
