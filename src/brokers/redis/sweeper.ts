import type { TimerHandle } from "../../core/clock.ts";
import { Deadlines } from "../../core/deadlines.ts";
import type { ChannelGroup } from "./channel-group.ts";
import type { Home } from "./delivery.ts";
import type { RedisSettings } from "./options.ts";
import type { Registry } from "./registry.ts";
import { TRIM } from "./scripts-admin.ts";
import type { Session } from "./session.ts";
import type { Topology } from "./topology.ts";

/** What the sweeper works with. */
export interface SweeperParts {
  readonly session: Session;
  readonly topology: Topology;
  readonly registry: Registry;
  readonly settings: RedisSettings;
  /** A channel that may be new here. */
  readonly onChannel: (name: string) => void;
}

/** Looks a tick: with many channels a round takes longer, and costs no more. Few at a time, so that nobody waits behind them. */
const MAX_A_TICK = 50;
const TICKS_A_ROUND = 20;
/** Rounds between two of trimming. */
const ROUNDS_A_TRIM = 4;
/** One process at a time trims, a channel a tick. */
const TRIM_LOCK_MS = 10_000;

/** Finds what no message tells of: hand-written entries, lost wake-ups, dead consumers, what is due, gaps, new channels. */
export class Sweeper {
  readonly #parts: SweeperParts;
  readonly #due: Deadlines<Home>;
  #timer: TimerHandle | undefined;
  #turn: Iterator<ChannelGroup> | undefined;
  #trimming: string[] = [];
  #channelCount = 0;
  #tick = 0;
  /** Groups, when they were last counted. */
  #size = 0;
  #closed = false;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
    this.#due = new Deadlines(parts.session.clock, (group) => {
      group.dueAt = Infinity;
      void this.look(group);
    });
  }

  start(): void {
    const { session, settings } = this.#parts;
    this.#timer = session.clock.setTimer(settings.sweepMs / TICKS_A_ROUND, () => void this.#run());
  }

  stop(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#due.clear();
  }

  /** Something of a group is due then. */
  due(group: Home, delayMs: number): void {
    const dueAt = this.#parts.session.clock.monotonic() + delayMs;
    if (this.#closed || dueAt >= group.dueAt) return;
    group.dueAt = dueAt;
    this.#due.add(delayMs, group);
  }

  /** Looks after one group now. */
  async look(group: Home): Promise<void> {
    if (this.#closed || !this.#parts.session.isUp) return;
    try {
      const soonestMs = await group.sweep();
      if (soonestMs >= 0) this.due(group, soonestMs);
    } catch {
      // It is looked after again in the next round.
    }
  }

  async #run(): Promise<void> {
    try {
      if (this.#parts.session.isUp) await this.#round();
    } catch {
      // The connection broke: the next tick goes on.
    }
    if (!this.#closed) this.start();
  }

  async #round(): Promise<void> {
    const { topology } = this.#parts;
    this.#tick++;
    if (this.#tick % TICKS_A_ROUND === 0) {
      await this.#checkMarker();
      await this.#findChannels();
      for (const broadcast of topology.broadcasts) await broadcast.look();
    }
    await Promise.all(this.#next().map((group) => this.look(group)));
    await this.#trim();
  }

  #next(): ChannelGroup[] {
    const { topology } = this.#parts;
    if (this.#tick % TICKS_A_ROUND === 1) {
      this.#size = 0;
      for (const channel of topology.channels.values()) this.#size += channel.groups.size;
    }
    const most = Math.min(MAX_A_TICK, Math.ceil(this.#size / TICKS_A_ROUND));
    const found: ChannelGroup[] = [];
    while (found.length < most) {
      this.#turn ??= this.#groups();
      const { value, done } = this.#turn.next();
      if (done === true) {
        this.#turn = undefined;
        break;
      }
      if (value.members.size > 0) found.push(value);
    }
    return found;
  }

  *#groups(): Generator<ChannelGroup> {
    for (const channel of this.#parts.topology.channels.values()) yield* channel.groups.values();
  }

  /** A server that was emptied has lost its marker too: everything that is known here is written again. */
  async #checkMarker(): Promise<void> {
    const { session, registry } = this.#parts;
    const isThere = await session.send(session.keys.marker, ["EXISTS", session.keys.marker]);
    if (isThere === 1) return;
    await registry.restore();
    for (const group of this.#groups()) await group.recover();
  }

  /** Messages about new channels may be lost. */
  async #findChannels(): Promise<void> {
    const { topology, registry, onChannel } = this.#parts;
    if (!topology.hasWildcards) return;
    const count = await registry.count();
    if (count === this.#channelCount) return;
    this.#channelCount = count;
    for (const name of await registry.names()) onChannel(name);
  }

  async #trim(): Promise<void> {
    const { session, registry, settings } = this.#parts;
    const channel = this.#trimming.pop();
    if (channel !== undefined) {
      const limits = [String(settings.retentionMs), String(settings.retentionLength)];
      await session.run(TRIM, session.keys.base(channel), limits);
      return;
    }
    if (this.#tick % (TICKS_A_ROUND * ROUNDS_A_TRIM) !== 0) return;
    const { sweeper } = session.keys;
    const lock = ["SET", sweeper, session.consumer, "NX", "PX", String(TRIM_LOCK_MS)];
    if ((await session.send(sweeper, lock)) === "OK") this.#trimming = [...(await registry.names())];
  }
}
