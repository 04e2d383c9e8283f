import type { BrokerReport, ChannelReport, GroupReport } from "../../core/broker.ts";

/** Reports of one channel as one: what it holds, and what its groups have not read, added up. */
export function mergeChannels(one: ChannelReport, other: ChannelReport): ChannelReport {
  const groups = new Map(one.groups.map((report) => [report.group, report]));
  for (const report of other.groups) {
    const known = groups.get(report.group);
    groups.set(report.group, known === undefined ? report : mergeGroups(known, report));
  }
  return { channel: one.channel, depth: sum(one.depth, other.depth), groups: [...groups.values()] };
}

/** Every channel of some reports once. */
export function unionOfChannels(reports: Iterable<ChannelReport>): readonly ChannelReport[] {
  const channels = new Map<string, ChannelReport>();
  for (const report of reports) {
    const known = channels.get(report.channel);
    channels.set(report.channel, known === undefined ? report : mergeChannels(known, report));
  }
  return [...channels.values()];
}

/** The worst of some states; `up` when there are none. */
export function worstState(states: readonly BrokerReport["state"][]): BrokerReport["state"] {
  if (states.includes("down")) return "down";
  return states.includes("degraded") ? "degraded" : "up";
}

/** Added up; unknown when one of them is. */
export function sum(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one + other;
}

function mergeGroups(one: GroupReport, other: GroupReport): GroupReport {
  return {
    group: one.group,
    lag: sum(one.lag, other.lag),
    unsettled: sum(one.unsettled, other.unsettled),
  };
}
