import type { Broker, BrokerAdmin, BrokerReport, Capabilities } from "../../core/broker.ts";
import { BrokerWrapper } from "../../core/broker-wrapper.ts";
import { systemClock, type Clock } from "../../core/clock.ts";
import { HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import { keepMsOf, type Gathering, type GatheringHost } from "../shared/gathering.ts";
import { Timers } from "../shared/timers.ts";

/** Options of every wrapper; all optional. */
export interface EmulateOptions {
  readonly clock?: Clock;
}

/** How a wrapper is called in names, errors and its own channels. */
export type EmulationKind = "delay" | "wildcard" | "broadcast" | "priority";

/** A hundred years: as long as the broker. */
export const FOREVER_MS = 100 * 365 * 86_400_000;
/**
 * A broker around a broker that supplies what that one lacks, with nothing but its contract. Where nothing is lacking it only
 * hands on. What it needs for itself lies on channels that begin with `system.<kind>.`, which nobody else gets to see.
 */
export abstract class Emulation extends BrokerWrapper {
  override readonly name: string;
  protected readonly timers: Timers;
  protected readonly host: GatheringHost;
  protected readonly gatherings = new Set<Gathering>();
  /** What the channels of its own begin with. */
  protected readonly prefix: string;
  protected readonly kind: EmulationKind;
  #below: Capabilities | undefined;
  #isActive = false;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(inner: Broker, kind: EmulationKind, options: EmulateOptions) {
    super(inner);
    this.kind = kind;
    this.name = `${kind}(${inner.name})`;
    this.prefix = `system.${kind}.`;
    this.timers = new Timers(options.clock ?? systemClock);
    this.host = {
      timers: this.timers,
      closed: () => (this.#isClosed ? this.closed() : undefined),
      left: (gathering) => this.gatherings.delete(gathering),
      fault: (error, where) => this.fault(error, where),
    };
  }

  /** True while it supplies something: it is open, and the broker below lacks it. */
  protected get isActive(): boolean {
    return this.#isActive;
  }

  protected get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What the broker below can do; it must be open. */
  protected get below(): Capabilities {
    return this.#below as Capabilities;
  }

  /** The admin of the broker below; only where it was found to be there. */
  protected get adminBelow(): BrokerAdmin {
    return this.inner.admin as BrokerAdmin;
  }

  /** How long what nobody took stays in hand. */
  protected get keepMs(): number {
    return keepMsOf(this.below.exactAttempts);
  }

  /** Rejects with `UNSUPPORTED` when the broker below lacks what the wrapper works with. */
  override async open(signal?: AbortSignal): Promise<Capabilities> {
    const below = await this.inner.open(signal);
    this.#below = below;
    if (!this.isLacking(below)) return this.adapt(below);
    try {
      const missing = this.missing(below);
      if (missing.length > 0) throw this.#cannot(missing);
      await this.begin();
      if (this.#isClosed) throw this.closed();
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#isActive = true;
    return this.adapt(below);
  }

  override async inspect(query?: { readonly channels?: readonly string[] }): Promise<BrokerReport> {
    const report = await this.inner.inspect(query);
    return { ...report, channels: report.channels.filter(({ channel }) => !this.isInternal(channel)) };
  }

  override close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Does a broker lack what this wrapper supplies? */
  protected abstract isLacking(below: Capabilities): boolean;

  /** What the broker below would need and has not. */
  protected abstract missing(below: Capabilities): string[];

  /** The broker below is open. */
  protected abstract begin(): Promise<void>;

  /** The broker below is about to be closed. */
  protected abstract end(): Promise<void>;

  protected isInternal(channel: string): boolean {
    return channel.startsWith(this.prefix);
  }

  protected fault(error: HeraldError, where: string): void {
    // What is cut off by closing is nobody's fault.
    if (!this.#isClosed) emit("fault", () => ({ agent: this.name, error, where }));
  }

  protected checkOpen(): void {
    if (this.#isClosed) throw this.closed();
  }

  protected closed(): HeraldError {
    const message = `This broker with emulated ${this.kind} is not open: open it first, or make a new one after close().`;
    return new HeraldError("CLOSED", message);
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([...this.gatherings].map((gathering) => gathering.close()));
    if (this.#below !== undefined) await this.end().catch(() => {});
    await this.inner.close();
    this.timers.clear();
  }

  #cannot(missing: readonly string[]): HeraldError {
    const message = `The broker '${this.inner.name}' cannot be given ${this.kind}, because it lacks ${missing.join(", ")}: use another broker.`;
    return new HeraldError("UNSUPPORTED", message, { details: { broker: this.inner.name, missing } });
  }
}
