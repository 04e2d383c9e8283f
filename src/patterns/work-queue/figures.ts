import type { Messaging } from "../messaging.ts";
import type { QueueCounts, QueueMetrics } from "./options.ts";

/** What this process did for a queue, since its service was made. */
export function metricsOf(
  messaging: Messaging,
  queue: string,
  about: { readonly group: string; readonly runner: Pick<QueueMetrics, "active" | "cancelled"> },
): QueueMetrics {
  const { channels, groups } = messaging.getMetrics();
  const { active, cancelled } = about.runner;
  const channel = channels[queue];
  const figures = groups.find((one) => one.channel === queue && one.group === about.group);
  return {
    enqueued: channel?.published ?? 0,
    started: figures?.delivered ?? 0,
    // One that was cancelled was handled too.
    completed: Math.max(0, (figures?.handled ?? 0) - cancelled),
    cancelled,
    failed: figures?.failed ?? 0,
    retried: figures?.retried ?? 0,
    deadLettered: figures?.deadLettered ?? 0,
    active,
    avgLatencyMs: figures?.latency.avgLatencyMs ?? 0,
    p50LatencyMs: figures?.latency.p50LatencyMs ?? 0,
    p99LatencyMs: figures?.latency.p99LatencyMs ?? 0,
    perSecond: channel?.messagesPerSecond ?? 0,
  };
}

/** How many tasks wait and run, over all processes, as the broker says. */
export async function countsOf(messaging: Messaging, queue: string, group: string): Promise<QueueCounts> {
  const [found] = await messaging.getConsumerLag({ channel: queue, group });
  if (found === undefined) return { waiting: 0, active: 0 };
  const { lag, unsettled } = found;
  return { waiting: lag === null || unsettled === null ? lag : lag - unsettled, active: unsettled };
}
