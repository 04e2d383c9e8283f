import { ABILITIES } from "../../core/broker.ts";
import { failoverControlOf } from "../../service/failover-control.ts";
import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { count, wrap } from "../text.ts";
import { survives } from "../durability.ts";

/** What `herald broker status` was given. */
export interface BrokerStatusCommand {
  readonly connection: Connection;
}

/** Prints what the broker is, can do and holds; exit code 3 when it is not up. */
export async function brokerStatus({ connection }: BrokerStatusCommand, session: Session): Promise<number> {
  const { output } = session;
  return withAgents(session, connection, {}, async ({ operator, broker }) => {
    const mode = failoverControlOf(broker)?.mode;
    const status = { ...(await collect(operator)), ...(mode === undefined ? {} : { mode }) };
    if (output.options.json) output.json({ type: "broker", ...status });
    else for (const line of linesOf(status)) output.lines(wrap(line, output.width));
    return status.status === "healthy" ? EXIT.done : EXIT.check;
  });
}

async function collect(operator: InProcessAgents["operator"]) {
  const { name, capabilities } = operator.broker;
  const [health, lags] = await Promise.all([operator.getHealth(), operator.getConsumerLag()]);
  return {
    broker: name,
    status: health.status,
    reasons: health.reasons,
    durability: capabilities.durability,
    ordering: capabilities.ordering,
    abilities: ABILITIES.filter((ability) => capabilities[ability]),
    missing: ABILITIES.filter((ability) => !capabilities[ability]),
    channels: health.channels,
    groups: new Set(lags.map(({ group }) => group)).size,
    waiting: lags.reduce((sum, { lag }) => sum + (lag ?? 0), 0),
  };
}

function linesOf(status: Awaited<ReturnType<typeof collect>> & { readonly mode?: string }): string[] {
  const { broker, reasons, durability, ordering, abilities, missing, channels, groups, waiting } = status;
  return [
    ...(status.mode === undefined ? [] : [`mode ${status.mode}`]),
    `${broker}: ${status.status}${reasons.length > 0 ? ` (${reasons.join("; ")})` : ""}`,
    `durability ${durability}: what is acknowledged ${survives(durability)}`,
    `ordering ${ordering === "none" ? "none" : `per ${ordering}`}`,
    `can ${abilities.join(", ")}${missing.length > 0 ? `; cannot ${missing.join(", ")}` : ""}`,
    `holds ${count(channels, "channel")}, ${count(groups, "group")}, ${count(waiting, "waiting message")}`,
  ];
}
