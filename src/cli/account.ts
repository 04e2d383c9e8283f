import type { MessagingService } from "../service/service.ts";
import type { Output } from "./output.ts";
import { table, type Column } from "./table.ts";
import { count } from "./text.ts";
import { showDuration } from "./duration.ts";

/** What happened on one channel, added up over all agents of the process. */
export interface ChannelAccount {
  readonly channel: string;
  published: number;
  handled: number;
  failed: number;
  retried: number;
  deadLettered: number;
  expired: number;
  filtered: number;
  /** Publish to handled, of the slowest group. */
  p95LatencyMs: number;
}

/** The account of all channels, and its sums. */
export interface Account {
  readonly channels: readonly ChannelAccount[];
  readonly total: Omit<ChannelAccount, "channel" | "p95LatencyMs">;
}

const COUNTS = ["published", "handled", "failed", "retried", "deadLettered", "expired", "filtered"] as const;
/** Replies go to a channel of the process; its name says nothing to a person. */
const REPLIES = "reply.";

/** Adds up the figures of several services of one process; channels in the order of their names. */
export function accountOf(services: readonly MessagingService[]): Account {
  const channels = new Map<string, ChannelAccount>();
  const of = (channel: string): ChannelAccount => {
    const known = channels.get(channel);
    if (known !== undefined) return known;
    const made: ChannelAccount = { channel, ...zeros(), p95LatencyMs: 0 };
    channels.set(channel, made);
    return made;
  };
  for (const metrics of services.map((service) => service.getMetrics())) {
    for (const [channel, { published }] of Object.entries(metrics.channels))
      of(channel).published += published;
    for (const group of metrics.groups) {
      const row = of(group.channel);
      for (const key of COUNTS) if (key !== "published") row[key] += group[key];
      row.p95LatencyMs = Math.max(row.p95LatencyMs, group.latency.p95LatencyMs);
    }
  }
  const rows = [...channels.values()].filter(({ channel }) => !channel.startsWith(REPLIES));
  rows.sort((a, b) => (a.channel < b.channel ? -1 : 1));
  const total = zeros();
  for (const row of rows) for (const key of COUNTS) total[key] += row[key];
  return { channels: rows, total };
}

/** The account as a table that fits the width. */
export function accountTable(account: Account, output: Output): string[] {
  const columns: Column<ChannelAccount>[] = [
    { title: "CHANNEL", value: (row) => row.channel, min: 10 },
    { title: "PUBLISHED", value: (row) => row.published },
    { title: "HANDLED", value: (row) => row.handled },
    {
      title: "DEAD",
      value: (row) => row.deadLettered,
      paint: (cell, row) => (row.deadLettered > 0 ? output.paint("bad", cell) : cell),
    },
    {
      title: "RETRIED",
      value: (row) => row.retried,
      optional: true,
      paint: (cell, row) => (row.retried > 0 ? output.paint("waiting", cell) : cell),
    },
    { title: "EXPIRED", value: (row) => row.expired, optional: true },
    { title: "P95 MS", value: (row) => Number(row.p95LatencyMs.toFixed(1)), optional: true },
  ];
  return table(columns, account.channels, output.width);
}

/** The sums in one line: `3 published, 2 handled, 1 dead-lettered in 1.2 s`. */
export function accountLine({ total }: Account, elapsedMs: number): string {
  const parts = [`${total.published} published`, `${total.handled} handled`];
  if (total.retried > 0) parts.push(count(total.retried, "retry").replace(/retrys$/, "retries"));
  if (total.deadLettered > 0) parts.push(`${total.deadLettered} dead-lettered`);
  if (total.expired > 0) parts.push(`${total.expired} expired`);
  return `${parts.join(", ")} in ${showDuration(elapsedMs)}`;
}

function zeros(): Record<(typeof COUNTS)[number], number> {
  return { published: 0, handled: 0, failed: 0, retried: 0, deadLettered: 0, expired: 0, filtered: 0 };
}
