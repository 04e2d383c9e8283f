import type { BrokerReport } from "../core/broker.ts";

/** How a service is. */
export interface Health {
  readonly status: "healthy" | "degraded" | "unhealthy";
  /** Why it is not healthy; empty when it is. */
  readonly reasons: readonly string[];
  /** Brokers connected. */
  readonly connections: number;
  /** Channels that the broker knows. */
  readonly channels: number;
  /** Subscriptions of this service. */
  readonly subscriptions: number;
  /** Messages that wait for, or are handled by, this service's groups. */
  readonly pendingMessages: number;
  readonly uptimeMs: number;
  /** ISO 8601. */
  readonly timestamp: string;
}

/** What health is judged by. */
export interface Observed {
  readonly report: BrokerReport;
  /** Groups of this service, with the patterns they read. */
  readonly pending: number;
  readonly subscriptions: number;
  /** Since a message was handled, or came when there was nothing to do, or the service started. */
  readonly idleMs: number;
  readonly stalledAfterMs: number;
  readonly uptimeMs: number;
  readonly now: number;
}

/** Health means progress: work that waits while nothing is handled is a fault, whatever the connection says. */
export function judge(observed: Observed): Health {
  const { report, pending, idleMs, stalledAfterMs } = observed;
  const reasons: string[] = [];
  const stalled = pending > 0 && idleMs > stalledAfterMs;
  if (report.state !== "up") reasons.push(`the broker is ${report.state}`);
  if (stalled)
    reasons.push(`${pending} messages wait and none was handled for ${Math.round(idleMs / 1000)} s`);
  if (report.dropped > 0) reasons.push(`${report.dropped} messages were dropped by the overflow policy`);
  return {
    status: report.state === "down" || stalled ? "unhealthy" : reasons.length > 0 ? "degraded" : "healthy",
    reasons,
    connections: report.state === "down" ? 0 : 1,
    channels: report.channels.length,
    subscriptions: observed.subscriptions,
    pendingMessages: pending,
    uptimeMs: observed.uptimeMs,
    timestamp: new Date(observed.now).toISOString(),
  };
}
