import type { MessagingService } from "../../../src/index.ts";

/** What became of the messages of one channel. */
export interface ChannelAccount {
  readonly channel: string;
  readonly published: number;
  readonly handled: number;
  /** Passed over by a subscription's filter. */
  readonly filtered: number;
  /** Became a dead letter, whatever was done about it later. */
  readonly deadLettered: number;
  /** Expired, or given up on without a dead letter. */
  readonly lost: number;
  /** Left by an earlier start of the run: it waited when this one began. */
  readonly carried: number;
  /** Had taken effect before, and came again because somebody was killed before it was settled. */
  readonly repeated: number;
  /** What the broker still holds for a reader: not handed out, being handled, or waiting to be tried again. */
  readonly waiting: number;
  /** Attempts that failed and were tried again. */
  readonly retried: number;
  /** Handled a second. */
  readonly perSecond: number;
  /** From publish to handled, retries included. */
  readonly p50LatencyMs: number;
  readonly p95LatencyMs: number;
}

/** The numbers of a row. */
export type Counts = { -readonly [K in Exclude<keyof ChannelAccount, "channel">]: number };

const COUNTED = [
  "published",
  "handled",
  "filtered",
  "deadLettered",
  "lost",
  "carried",
  "repeated",
  "waiting",
  "retried",
  "perSecond",
] as const;
const LATENCIES = ["p50LatencyMs", "p95LatencyMs"] as const;

/** Messages that wait, by channel. */
export type Backlog = ReadonlyMap<string, number>;

/** What the broker holds for readers of any channel at this moment. */
export async function backlogOf(agent: MessagingService): Promise<Backlog> {
  const backlog = new Map<string, number>();
  for (const { channel, lag } of await agent.getConsumerLag())
    backlog.set(channel, (backlog.get(channel) ?? 0) + (lag ?? 0));
  return backlog;
}

/**
 * One row a channel, over all agents, for this start of the run. When no message is on its way, each that was published or
 * carried over is in exactly one of handled, filtered, deadLettered, lost, repeated and waiting. Dead-letter channels are
 * no part of it.
 */
export async function accountOf(
  agents: readonly MessagingService[],
  carried: Backlog,
): Promise<ChannelAccount[]> {
  const rows = new Rows();
  const running = agents.find((agent) => agent.isRunning);
  const waiting = running === undefined ? [] : await backlogOf(running);
  for (const [channel, count] of waiting) rows.of(channel).waiting += count;
  for (const [channel, count] of carried) rows.of(channel).carried += count;
  for (const agent of agents) addAgent(rows, agent);
  return rows.list();
}

/** A row without what cannot be added up. */
export type Totals = Omit<Counts, (typeof LATENCIES)[number]>;

/** The sum of the rows. */
export function totalOf(rows: readonly ChannelAccount[]): Totals {
  const { p50LatencyMs: _p50, p95LatencyMs: _p95, ...total } = noCounts();
  for (const row of rows) for (const key of COUNTED) total[key] += row[key];
  return total;
}

function addAgent(rows: Rows, agent: MessagingService): void {
  const { channels, groups } = agent.getMetrics();
  for (const [channel, counted] of Object.entries(channels)) {
    const row = rows.of(channel);
    // A publish that the broker recognised as repeated put nothing new on the channel.
    row.published += counted.published - counted.duplicates;
    row.perSecond +=
      counted.messagesPerSecond * shareOfWork(groups.filter((group) => group.channel === channel));
  }
  for (const counted of groups.filter(isWork)) {
    const row = rows.of(counted.channel);
    row.handled += counted.handled;
    row.filtered += counted.filtered;
    row.deadLettered += counted.deadLettered;
    row.lost += counted.discarded + counted.expired;
    row.repeated += counted.duplicates;
    row.retried += counted.retried;
    for (const key of LATENCIES) row[key] = Math.max(row[key], counted.latency[key]);
  }
}

type GroupFigures = ReturnType<MessagingService["getMetrics"]>["groups"][number];

/** Who reads a log again handles nothing: it is a broadcast, as replies are. */
function isWork({ group, channel }: GroupFigures): boolean {
  return group !== "" || channel.startsWith("reply.");
}

function shareOfWork(groups: readonly GroupFigures[]): number {
  const handled = (some: readonly GroupFigures[]): number =>
    some.reduce((sum, group) => sum + group.handled, 0);
  return handled(groups.filter(isWork)) / Math.max(1, handled(groups));
}

class Rows {
  readonly #rows = new Map<string, Counts>();

  of(channel: string): Counts {
    // Every process has a reply channel of its own, with an id that nobody wants to read.
    const name = channel.replace(/^(reply\.[^.]+)\..*$/, "$1");
    const row = this.#rows.get(name) ?? noCounts();
    this.#rows.set(name, row);
    return row;
  }

  list(): ChannelAccount[] {
    const rows = [...this.#rows].map(([channel, counts]) => ({ channel, ...counts }));
    const shown = rows.filter(
      ({ channel, published, carried }) => published + carried > 0 && !channel.startsWith("dlq."),
    );
    return shown.toSorted((a, b) => a.channel.localeCompare(b.channel));
  }
}

function noCounts(): Counts {
  return {
    published: 0,
    handled: 0,
    filtered: 0,
    deadLettered: 0,
    lost: 0,
    carried: 0,
    repeated: 0,
    waiting: 0,
    retried: 0,
    perSecond: 0,
    p50LatencyMs: 0,
    p95LatencyMs: 0,
  };
}
