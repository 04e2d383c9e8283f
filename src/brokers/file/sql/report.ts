import type { ChannelReport, GroupReport } from "../../../core/broker.ts";
import type { Cursors } from "./cursors.ts";
import type { Database, Statements } from "./database.ts";
import type { Channel, Group } from "./model.ts";
import type { Topology } from "./topology.ts";

const SQL = {
  lane: "SELECT appended, held FROM lanes WHERE id = ?",
  claims: "SELECT group_id, lane_id, sum(left) AS n FROM claims GROUP BY group_id, lane_id",
  exceptions: `SELECT group_id, lane_id, count(*) AS n, sum(state = 1) AS held FROM exceptions GROUP BY group_id, lane_id`,
};

interface Tally {
  readonly group_id: number;
  readonly lane_id: number;
  readonly n: number;
  readonly held?: number;
}

/** Counts what channels hold and groups have not acknowledged: by counters, never by counting messages. */
export class Report {
  readonly #topology: Topology;
  readonly #cursors: Cursors;
  readonly #sql: Statements<typeof SQL>;

  constructor(db: Database, topology: Topology, cursors: Cursors) {
    this.#topology = topology;
    this.#cursors = cursors;
    this.#sql = db.prepareAll(SQL);
  }

  /** Null: all channels. Unknown ones are left out. */
  report(names: readonly string[] | null): ChannelReport[] {
    const claims = tallies(this.#sql.claims.all() as unknown as Tally[]);
    const exceptions = tallies(this.#sql.exceptions.all() as unknown as Tally[]);
    const channels = (names ?? [...this.#topology.channels.keys()]).flatMap(
      (name) => this.#topology.channels.get(name) ?? [],
    );
    return channels.map((channel) => this.#channel(channel, claims, exceptions));
  }

  #channel(
    channel: Channel,
    claims: ReadonlyMap<string, Tally>,
    exceptions: ReadonlyMap<string, Tally>,
  ): ChannelReport {
    const lanes = channel.lanes.map((lane) => ({
      lane,
      ...(this.#sql.lane.get(lane.id) as { appended: number; held: number }),
    }));
    const reportOf = (group: Group): GroupReport => {
      let lag = 0;
      let unsettled = 0;
      for (const { lane, appended } of lanes) {
        const claimed = claims.get(`${group.id} ${lane.id}`)?.n ?? 0;
        const aside = exceptions.get(`${group.id} ${lane.id}`);
        const passed = this.#cursors.get(group, lane)?.passed ?? appended;
        lag += appended - passed + claimed + (aside?.n ?? 0);
        unsettled += claimed + (aside?.held ?? 0);
      }
      return { group: group.name as string, lag, unsettled };
    };
    const groups = this.#topology.route(channel).filter(({ name }) => name !== null);
    return {
      channel: channel.name,
      depth: lanes.reduce((sum, { held }) => sum + held, 0),
      groups: groups.map(reportOf),
    };
  }
}

function tallies(rows: readonly Tally[]): Map<string, Tally> {
  return new Map(rows.map((row) => [`${row.group_id} ${row.lane_id}`, row]));
}
