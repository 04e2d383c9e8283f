import { checkPattern, isWildcard, matchPattern } from "../../core/pattern.ts";
import type { LoadedAgent } from "../../service/load-agents.ts";
import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import { listenersOf } from "../manifest-contracts.ts";
import type { Output } from "../output.ts";
import type { Session } from "../session.ts";
import { settle } from "../summary.ts";
import { table, type Column } from "../table.ts";

/** What `herald channels` was given. */
export interface ChannelsCommand {
  readonly connection: Connection;
  readonly settleMs: number;
  readonly pattern: string | undefined;
}

interface ChannelRow {
  readonly channel: string;
  /** By the agents of this process; null when none was started. */
  readonly published: number | null;
  /** Published and not acknowledged, over all groups; null when the broker does not say. */
  readonly lag: number | null;
  /** What the channel retains; null when the broker does not say, or has not seen the channel. */
  readonly depth: number | null;
  /** Agents whose manifest declares it. */
  readonly publishers: readonly string[];
  /** Agents of this process and groups of the broker that listen. */
  readonly subscribers: readonly string[];
}

/** Prints the channels that the manifests declare and that the broker knows, once the agents have settled. */
export async function channels(command: ChannelsCommand, session: Session): Promise<number> {
  const { pattern = "#" } = command;
  checkPattern(pattern);
  return withAgents(session, command.connection, {}, async (agents) => {
    await settle(agents, session, command.settleMs);
    print(
      (await collect(agents)).filter(({ channel }) => matchPattern(pattern, channel)),
      session.output,
    );
    return EXIT.done;
  });
}

async function collect(running: InProcessAgents): Promise<ChannelRow[]> {
  const { agents, operator } = running;
  const reports = new Map((await operator.listChannels()).map((report) => [report.channel, report]));
  const published = new Map(running.account().channels.map((row) => [row.channel, row.published]));
  const declared = agents.flatMap(({ manifest: { messaging } }) =>
    [...messaging.publishes, ...messaging.subscribes].map(({ channel }) => channel),
  );
  const names = new Set([...reports.keys(), ...declared.filter((channel) => !isWildcard(channel))]);
  return [...names].toSorted().map((channel) => {
    const report = reports.get(channel);
    const lags = report?.groups.map(({ lag }) => lag) ?? [];
    return {
      channel,
      published: agents.length === 0 ? null : (published.get(channel) ?? 0),
      lag: lags.includes(null) ? null : lags.reduce<number>((sum, lag) => sum + (lag ?? 0), 0),
      depth: report === undefined ? 0 : report.depth,
      publishers: agents
        .filter(({ manifest }) => manifest.messaging.publishes.some((spec) => spec.channel === channel))
        .map(idOf),
      subscribers: [
        ...new Set([...listenersOf(agents, channel), ...(report?.groups ?? []).map(({ group }) => group)]),
      ].toSorted(),
    };
  });
}

function print(rows: readonly ChannelRow[], output: Output): void {
  if (output.options.json) {
    for (const row of rows) output.json({ type: "channel", ...row });
    return;
  }
  if (rows.length === 0) {
    output.sentence(
      "There is no such channel. A manifest declares them under spec.messaging.publishes and subscribes.",
    );
    return;
  }
  const columns: Column<ChannelRow>[] = [
    { title: "CHANNEL", value: (row) => row.channel, min: 12 },
    ...(rows.some(({ published }) => published !== null)
      ? [{ title: "PUBLISHED", value: (row: ChannelRow) => row.published }]
      : []),
    {
      title: "LAG",
      value: (row) => row.lag,
      paint: (cell, row) => ((row.lag ?? 0) > 0 ? output.paint("waiting", cell) : cell),
    },
    { title: "FROM", value: (row) => row.publishers.join(", ") || "-", min: 6, optional: true },
    { title: "TO", value: (row) => row.subscribers.join(", ") || "-", min: 6, optional: true },
    { title: "DEPTH", value: (row) => row.depth, optional: true },
  ];
  output.lines(table(columns, rows, output.width));
}

function idOf({ manifest }: LoadedAgent): string {
  return manifest.agentId;
}
