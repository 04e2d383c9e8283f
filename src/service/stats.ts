import type { BrokerReport } from "../core/broker.ts";
import { matchPattern } from "../core/pattern.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { SubscriptionHandle } from "./options.ts";

/** One group's lag on one channel. */
export interface ConsumerLag {
  readonly channel: string;
  readonly group: string;
  /** Published and not yet acknowledged; null when the technology does not say. */
  readonly lag: number | null;
  /** The part of the lag that is handed out. */
  readonly unsettled: number | null;
}

/** One channel, as this service has seen it; `messagesPending` is the broker's. */
export interface ChannelStats {
  readonly channel: string;
  readonly messagesPublished: number;
  readonly messagesConsumed: number;
  readonly messagesPending: number;
  readonly messagesFailed: number;
  readonly messagesDeadLettered: number;
  readonly subscriptions: number;
  /** Handled a second, over the last minute. */
  readonly messagesPerSecond: number;
}

/** What the figures of a channel are read from. */
export interface StatsSources {
  readonly report: BrokerReport;
  readonly metrics: Metrics;
  readonly subscriptions: readonly SubscriptionHandle[];
}

/** The figures of one channel; zeros for one that nothing happened on. */
export function channelStats(
  channel: string,
  { report, metrics, subscriptions }: StatsSources,
): ChannelStats {
  const counters = metrics.channelMetrics(channel);
  const groups = metrics.groupMetrics(channel);
  const sum = (key: "handled" | "failed" | "deadLettered"): number =>
    groups.reduce((total, group) => total + group[key], 0);
  const waiting = report.channels.flatMap((found) => found.groups.map((group) => group.lag ?? 0));
  return {
    channel,
    messagesPublished: counters?.published ?? 0,
    messagesConsumed: sum("handled"),
    messagesPending: waiting.reduce((total, lag) => total + lag, 0),
    messagesFailed: sum("failed"),
    messagesDeadLettered: sum("deadLettered"),
    subscriptions: subscriptions.filter((subscription) => matchPattern(subscription.channel, channel)).length,
    messagesPerSecond: counters?.messagesPerSecond ?? 0,
  };
}

/** How much waits for the groups of these subscriptions. */
export function pendingOf(report: BrokerReport, subscriptions: readonly SubscriptionHandle[]): number {
  let pending = 0;
  for (const { channel, groups } of report.channels) {
    for (const { group, lag } of groups) {
      const ours = subscriptions.some(
        (subscription) => subscription.group === group && matchPattern(subscription.channel, channel),
      );
      if (ours) pending += lag ?? 0;
    }
  }
  return pending;
}

/** The lag of every group in a report, or of the one that is named. */
export function lagOf(report: BrokerReport, group: string | undefined): readonly ConsumerLag[] {
  const rows = report.channels.flatMap(({ channel, groups }) => groups.map((one) => ({ channel, ...one })));
  return rows.filter((row) => group === undefined || row.group === group);
}
