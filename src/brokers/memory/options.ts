import { systemClock, type Clock } from "../../core/clock.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { OptionCheck } from "../shared/option-check.ts";

/** What happens to a publish when the broker is full. */
export type Overflow = "block" | "reject" | "drop-oldest";

/** Options of the memory broker; all optional. */
export interface MemoryBrokerOptions {
  readonly clock?: Clock;
  /** Most messages waiting or handed out, counted once a group. Default 5,000,000. */
  readonly maxMessages?: number;
  /** Most bytes of bodies waiting or handed out or retained by age, counted once a group. Default 1 GiB. */
  readonly maxBytes?: number;
  /**
   * `block` (default): a publish waits for room up to `blockTimeoutMs`, then fails with `OVERLOADED`. `reject`: it fails
   * at once. `drop-oldest`: the oldest of the least urgent waiting messages goes, and is counted in `inspect().dropped`.
   */
  readonly overflow?: Overflow;
  /** Default 5000. */
  readonly blockTimeoutMs?: number;
  /** Envelopes a channel retains for replay, handled or not. Default 1000; 0 switches replay off. */
  readonly replay?: number;
  /** Bytes of bodies retained for replay over all channels. Default 64 MiB. */
  readonly replayBytes?: number;
  /** How long an id is recognised when published again with `dedupe`. Default 120,000. */
  readonly dedupeWindowMs?: number;
  /** Most channels. Default 100,000; one more is `OVERLOADED`. */
  readonly maxChannels?: number;
  /** Default 1 MiB. */
  readonly maxBodyBytes?: number;
}

/** Options with every default filled in. */
export type MemorySettings = Required<MemoryBrokerOptions>;

const check = new OptionCheck("Memory");

/** Checks the options and fills in the defaults. Rejects with `INVALID_ARGUMENT` naming the field. */
export function memorySettings(options: MemoryBrokerOptions): MemorySettings {
  const settings: MemorySettings = {
    clock: systemClock,
    maxMessages: 5_000_000,
    maxBytes: 2 ** 30,
    overflow: "block",
    blockTimeoutMs: 5000,
    replay: 1000,
    replayBytes: 64 * 2 ** 20,
    dedupeWindowMs: 120_000,
    maxChannels: 100_000,
    maxBodyBytes: DEFAULT_LIMITS.maxMessageBytes,
    ...options,
  };
  for (const [name, value] of Object.entries(settings)) {
    if (name === "clock" || name === "overflow") continue;
    if (typeof value !== "number" || !(value >= 0)) throw check.wrong(name, "a number of 0 or more", value);
  }
  if (!["block", "reject", "drop-oldest"].includes(settings.overflow)) {
    throw check.wrong("overflow", "block, reject or drop-oldest", settings.overflow);
  }
  return settings;
}
