import type { BreakerFigures } from "../core/breaker.ts";
import type { BrokerReport } from "../core/broker.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { Runtime } from "./runtime.ts";
import type { Settings } from "./settings.ts";
import { pendingOf } from "./stats.ts";
import type { Subscriptions } from "./subscriptions.ts";

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
interface Observed {
  readonly report: BrokerReport;
  readonly breakers: readonly BreakerFigures[];
  /** Groups of this service, with the patterns they read. */
  readonly pending: number;
  readonly subscriptions: number;
  /** Since a message was handled, or came when there was nothing to do, or the service started. */
  readonly idleMs: number;
  readonly stalledAfterMs: number;
  readonly uptimeMs: number;
  readonly now: number;
}

/** Where the health of a service is read. */
export interface HealthSources {
  readonly settings: Settings;
  /** Undefined: it does not run. */
  readonly runtime: Runtime | undefined;
  readonly metrics: Metrics;
  readonly subscriptions: Subscriptions;
}

/** How a service is at this moment. */
export async function healthOf({
  settings,
  runtime,
  metrics,
  subscriptions,
}: HealthSources): Promise<Health> {
  const { clock, stalledAfterMs } = settings;
  const report: BrokerReport =
    runtime === undefined ? { state: "down", channels: [], dropped: 0 } : await runtime.broker.inspect();
  // Quiet hours are no stall: what waits now may have come a moment ago.
  const since = Math.max(metrics.lastHandledAt, runtime?.startedAt ?? 0, subscriptions.busySince);
  return judge({
    report,
    breakers: metrics.breakers(),
    pending: pendingOf(report, subscriptions.list()),
    subscriptions: subscriptions.size,
    idleMs: clock.monotonic() - since,
    stalledAfterMs,
    uptimeMs: runtime === undefined ? 0 : clock.monotonic() - runtime.startedAt,
    now: clock.now(),
  });
}

/** Health means progress: work that waits while nothing is handled is a fault, whatever the connection says. */
function judge(observed: Observed): Health {
  const { report, breakers, pending, idleMs, stalledAfterMs } = observed;
  const reasons: string[] = [];
  // What an open breaker holds back waits on purpose.
  const isHeld = breakers.some(({ kind, state }) => kind === "handler" && state !== "closed");
  const stalled = pending > 0 && idleMs > stalledAfterMs && !isHeld;
  if (report.state !== "up") reasons.push(`the broker is ${report.state}`);
  if (stalled)
    reasons.push(`${pending} messages wait and none was handled for ${Math.round(idleMs / 1000)} s`);
  if (report.dropped > 0) reasons.push(`${report.dropped} messages were dropped by the overflow policy`);
  for (const { kind, name, state } of breakers)
    if (state !== "closed") reasons.push(`the circuit breaker of ${kind} '${name}' is ${state}`);
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
