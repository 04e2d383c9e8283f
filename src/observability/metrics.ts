import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { BreakerFigures } from "../core/breaker.ts";
import type { Clock } from "../core/clock.ts";
import type { ChannelCounters, GroupCounters, GroupMeter, Meter } from "../core/meter.ts";
import { RateWindow } from "./rate-window.ts";

/** Latency from publish to handled. */
export interface LatencySummary {
  readonly avgLatencyMs: number;
  readonly p50LatencyMs: number;
  readonly p95LatencyMs: number;
  readonly p99LatencyMs: number;
}

/** One channel's counters. */
export interface ChannelMetrics extends Readonly<ChannelCounters> {
  readonly messagesPerSecond: number;
}

/** One group's counters on one channel. Percentiles for the first 256 groups, the average for all. */
export interface GroupMetrics extends Readonly<GroupCounters> {
  readonly channel: string;
  readonly group: string;
  readonly latency: LatencySummary;
}

/** Everything that a service counts, since it started. */
export interface MetricsSnapshot extends LatencySummary {
  readonly published: number;
  /** Handler starts. */
  readonly delivered: number;
  readonly handled: number;
  readonly failed: number;
  readonly retried: number;
  readonly redelivered: number;
  readonly deadLettered: number;
  readonly discarded: number;
  readonly expired: number;
  readonly duplicates: number;
  readonly filtered: number;
  readonly snoozed: number;
  readonly publishFailed: number;
  readonly lateReplies: number;
  /** Messages handled a second, over the last minute or since the start. */
  readonly throughput: number;
  readonly windowMs: number;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly channels: Readonly<Record<string, ChannelMetrics>>;
  readonly groups: readonly GroupMetrics[];
  /** Circuit breakers of handlers, of channels that were asked, and of the broker. */
  readonly breakers: readonly BreakerFigures[];
}

/** Names beyond this many are counted together: a flood of names must not become a flood of counters. */
const MAX_NAMES = 10_000;
const MAX_HISTOGRAMS = 256;
const OTHER = "(other)";
const WINDOW_MS = 60_000;
const MICROS = 1000;
/** A day. */
const MAX_MICROS = 86_400_000_000;

/** One group on one channel: what the hot path holds on to, so that counting costs no look-up. */
class GroupRecord implements GroupMeter {
  delivered = 0;
  handled = 0;
  failed = 0;
  retried = 0;
  redelivered = 0;
  deadLettered = 0;
  discarded = 0;
  expired = 0;
  duplicates = 0;
  filtered = 0;
  snoozed = 0;
  latencySumMs = 0;
  readonly #onLatency: (latencyMs: number) => void;
  readonly #recorder: RecordableHistogram;
  /** Undefined where `recorder` is shared with other groups. */
  readonly histogram: RecordableHistogram | undefined;

  constructor(
    histogram: RecordableHistogram | undefined,
    shared: RecordableHistogram,
    onLatency: (latencyMs: number) => void,
  ) {
    this.histogram = histogram;
    this.#recorder = histogram ?? shared;
    this.#onLatency = onLatency;
  }

  latency(ms: number): void {
    // A clock that jumped back must not become a negative latency, nor the time of a foreign message more than can be recorded.
    const latencyMs = ms > 0 ? ms : 0;
    const micros = Math.min(MAX_MICROS, Math.max(1, Math.round(latencyMs * MICROS)));
    this.latencySumMs += latencyMs;
    this.#recorder.record(micros);
    this.#onLatency(latencyMs);
  }

  get counters(): GroupCounters {
    const { histogram: _histogram, latencySumMs: _sum, ...counters } = this;
    return counters;
  }
}

interface ChannelRecord {
  readonly counters: ChannelCounters;
  readonly rate: RateWindow;
  readonly groups: Map<string, GroupRecord>;
}

/** The registry behind every figure: plain counters and histograms, read when somebody asks. */
export class Metrics implements Meter {
  /** Read when somebody asks. */
  breakers: () => readonly BreakerFigures[] = () => [];
  readonly #clock: Clock;
  readonly #channels = new Map<string, ChannelRecord>();
  /** Latencies of the groups that have no histogram of their own. */
  readonly #others = newHistogram();
  readonly #startedAt: number;
  #lateReplies = 0;
  #histograms = 0;
  #lastHandledAt: number;
  #handledSumMs = 0;
  #handled = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
    this.#lastHandledAt = this.#startedAt;
  }

  /** Monotonic milliseconds of the last handled message, or of the start. */
  get lastHandledAt(): number {
    return this.#lastHandledAt;
  }

  channel(channel: string): ChannelCounters {
    return this.#channel(channel).counters;
  }

  group(channel: string, group: string): GroupMeter {
    const record = this.#channel(channel);
    const known = record.groups.get(group);
    if (known !== undefined) return known;
    const histogram = this.#histograms++ < MAX_HISTOGRAMS ? newHistogram() : undefined;
    const made = new GroupRecord(histogram, this.#others, (latencyMs) =>
      this.#onLatency(record.rate, latencyMs),
    );
    record.groups.set(group, made);
    return made;
  }

  lateReply(): void {
    this.#lateReplies++;
  }

  /** One channel; undefined when nothing was counted on it. */
  channelMetrics(channel: string): ChannelMetrics | undefined {
    const record = this.#channels.get(channel);
    if (record === undefined) return undefined;
    return { ...record.counters, messagesPerSecond: record.rate.perSecond(this.#clock.monotonic()) };
  }

  /** The groups of one channel. */
  groupMetrics(channel: string): GroupMetrics[] {
    return [...(this.#channels.get(channel)?.groups ?? [])].map(([group, record]) =>
      summary(channel, group, record),
    );
  }

  snapshot(): MetricsSnapshot {
    const names = [...this.#channels.keys()];
    const groups = names.flatMap((name) => this.groupMetrics(name));
    const channels = Object.fromEntries(
      names.map((name) => [name, this.channelMetrics(name) as ChannelMetrics]),
    );
    const sum = <K extends string>(rows: readonly Readonly<Record<K, number>>[], key: K): number =>
      rows.reduce((total, row) => total + row[key], 0);
    const all = Object.values(channels);
    return {
      published: sum(all, "published"),
      publishFailed: sum(all, "publishFailed"),
      delivered: sum(groups, "delivered"),
      handled: sum(groups, "handled"),
      failed: sum(groups, "failed"),
      retried: sum(groups, "retried"),
      redelivered: sum(groups, "redelivered"),
      deadLettered: sum(groups, "deadLettered"),
      discarded: sum(groups, "discarded"),
      expired: sum(groups, "expired"),
      duplicates: sum(groups, "duplicates") + sum(all, "duplicates"),
      filtered: sum(groups, "filtered"),
      snoozed: sum(groups, "snoozed"),
      lateReplies: this.#lateReplies,
      ...latencyOf(this.#merged(), this.#handled, this.#handledSumMs),
      throughput: this.#throughput(),
      windowMs: WINDOW_MS,
      timestamp: new Date(this.#clock.now()).toISOString(),
      channels,
      groups,
      breakers: this.breakers(),
    };
  }

  #channel(channel: string): ChannelRecord {
    const known = this.#channels.get(channel);
    if (known !== undefined) return known;
    if (this.#channels.size >= MAX_NAMES && channel !== OTHER) return this.#channel(OTHER);
    const record: ChannelRecord = {
      counters: { published: 0, duplicates: 0, publishFailed: 0 },
      rate: new RateWindow(this.#clock.monotonic()),
      groups: new Map(),
    };
    this.#channels.set(channel, record);
    return record;
  }

  #onLatency(rate: RateWindow, latencyMs: number): void {
    const now = this.#clock.monotonic();
    this.#handledSumMs += latencyMs;
    this.#handled++;
    rate.add(now);
    this.#lastHandledAt = now;
  }

  /** Every group's latencies in one: put together when somebody asks, so that a message is recorded once. */
  #merged(): RecordableHistogram {
    const all = newHistogram();
    if (this.#others.count > 0) all.add(this.#others);
    for (const { groups } of this.#channels.values()) {
      for (const { histogram } of groups.values())
        if (histogram !== undefined && histogram.count > 0) all.add(histogram);
    }
    return all;
  }

  #throughput(): number {
    const now = this.#clock.monotonic();
    let handled = 0;
    for (const { rate } of this.#channels.values()) handled += rate.count(now);
    return handled / (Math.min(WINDOW_MS, Math.max(1000, now - this.#startedAt)) / 1000);
  }
}

/** Microseconds up to a day, two significant figures. */
function newHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: MAX_MICROS, figures: 2 });
}

function summary(channel: string, group: string, record: GroupRecord): GroupMetrics {
  const { counters, histogram, latencySumMs } = record;
  return { channel, group, ...counters, latency: latencyOf(histogram, counters.handled, latencySumMs) };
}

function latencyOf(histogram: RecordableHistogram | undefined, count: number, sumMs: number): LatencySummary {
  const at = (percentile: number): number =>
    count === 0 || histogram === undefined ? 0 : histogram.percentile(percentile) / MICROS;
  return {
    avgLatencyMs: count === 0 ? 0 : sumMs / count,
    p50LatencyMs: at(50),
    p95LatencyMs: at(95),
    p99LatencyMs: at(99),
  };
}
