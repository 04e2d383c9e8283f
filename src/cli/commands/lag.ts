import { withAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import type { Session } from "../session.ts";
import { settle } from "../summary.ts";
import { table, type Column } from "../table.ts";
import { count } from "../text.ts";

/** What `herald lag` was given. */
export interface LagCommand {
  readonly connection: Connection;
  readonly settleMs: number;
  readonly group: string | undefined;
  readonly channel: string | undefined;
  /** More than this in one group on one channel is exit code 3. */
  readonly failOver: number | undefined;
}

interface Lag {
  readonly channel: string;
  readonly group: string;
  readonly lag: number | null;
  readonly unsettled: number | null;
}

/** Prints how much waits for each group, once the agents have settled or their time is over. */
export async function lag(command: LagCommand, session: Session): Promise<number> {
  const { group, channel, failOver } = command;
  const { output } = session;
  return withAgents(session, command.connection, {}, async (agents) => {
    await settle(agents, session, command.settleMs);
    const filter = {
      ...(group === undefined ? {} : { group }),
      ...(channel === undefined ? {} : { channel }),
    };
    const rows = (await agents.operator.getConsumerLag(filter)).toSorted(byName);
    print(rows, output);
    const over = failOver === undefined ? [] : rows.filter((row) => (row.lag ?? 0) > failOver);
    if (over.length > 0)
      output.note(
        `${count(over.length, "group")} ${over.length === 1 ? "has" : "have"} a lag over ${failOver}.`,
      );
    return over.length > 0 ? EXIT.check : EXIT.done;
  });
}

function print(rows: readonly Lag[], output: Output): void {
  if (output.options.json) {
    for (const { channel, group, lag, unsettled } of rows)
      output.json({ type: "lag", channel, group, lag, unsettled });
    return;
  }
  if (rows.length === 0) {
    output.sentence("No group reads a channel that holds anything. herald channels lists what there is.");
    return;
  }
  const columns: Column<Lag>[] = [
    { title: "CHANNEL", value: (row) => row.channel, min: 8 },
    { title: "GROUP", value: (row) => row.group, min: 6 },
    {
      title: "LAG",
      value: (row) => row.lag,
      paint: (cell, row) => ((row.lag ?? 0) > 0 ? output.paint("waiting", cell) : cell),
    },
    { title: "UNSETTLED", value: (row) => row.unsettled, optional: true },
  ];
  output.lines(table(columns, rows, output.width));
}

function byName(a: Lag, b: Lag): number {
  return a.channel === b.channel ? compare(a.group, b.group) : compare(a.channel, b.channel);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
