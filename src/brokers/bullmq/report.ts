import type { RedisClientType } from "@redis/client";
import type { RedisQueueBackend } from "bullmq";
import type { BrokerReport, ChannelReport, GroupReport } from "../../core/broker.ts";
import { isWildcard } from "../../core/pattern.ts";
import { retainedQueue } from "./names.ts";
import type { Registered, Registry } from "./registry.ts";

/** What reporting needs of the broker. */
interface ReportHost {
  readonly redis: RedisClientType;
  readonly registry: Registry;
  readonly queue: (name: string) => RedisQueueBackend;
}

interface Tally {
  readonly lag: number | null;
  readonly unsettled: number | null;
}

/** Jobs of a pattern's queue that are counted by channel; a longer queue is not counted, and its numbers are null. */
const MOST_COUNTED = 10_000;
const NONE: Tally = { lag: 0, unsettled: 0 };
const UNKNOWN: Tally = { lag: null, unsettled: null };

/** Depth and lag of channels. */
export async function report(host: ReportHost, wanted: readonly string[] | undefined): Promise<BrokerReport> {
  const { registry } = host;
  await registry.refresh();
  const known = new Set(await registry.channels());
  const names = wanted === undefined ? [...known] : wanted.filter((name) => known.has(name));
  const queues = new Set(names.flatMap((name) => registry.covering(name)));
  const tallies = new Map<string, (channel: string) => Tally>();
  for (const registered of queues) tallies.set(registered.queue, await tallyOf(host, registered));
  const channels: ChannelReport[] = [];
  for (const name of names) channels.push(await channelReport(host, name, tallies));
  return { state: "up", channels, dropped: 0 };
}

async function channelReport(
  { registry, queue }: ReportHost,
  channel: string,
  tallies: ReadonlyMap<string, (channel: string) => Tally>,
): Promise<ChannelReport> {
  const groups = new Map<string, GroupReport>();
  const retains = registry.retained.get(channel) !== undefined;
  let depth: number | null = retains ? await retainedCount(queue(retainedQueue(channel))) : 0;
  for (const { queue: name, group } of registry.covering(channel)) {
    const tally = tallies.get(name)?.(channel) ?? NONE;
    depth = depth === null || tally.lag === null ? null : Math.max(depth, tally.lag);
    if (group === null) continue;
    const sum = groups.get(group);
    groups.set(group, {
      group,
      lag: add(sum?.lag, tally.lag),
      unsettled: add(sum?.unsettled, tally.unsettled),
    });
  }
  return { channel, depth, groups: [...groups.values()] };
}

/** How much of a queue is whose. */
async function tallyOf(
  host: ReportHost,
  { queue: name, pattern }: Registered,
): Promise<(channel: string) => Tally> {
  const backend = host.queue(name);
  const counts = await backend.getCounts(["active", "wait", "prioritized", "delayed"]);
  const total = { lag: counts.reduce((sum, count) => sum + count, 0), unsettled: counts[0] ?? 0 };
  if (!isWildcard(pattern)) return () => total;
  if (total.lag > MOST_COUNTED) return () => UNKNOWN;
  const [active, all] = await Promise.all([namesOf(host, name, ["active"]), namesOf(host, name, [])]);
  return (channel) => ({
    lag: count(active, channel) + count(all, channel),
    unsettled: count(active, channel),
  });
}

async function namesOf(
  { redis, queue }: ReportHost,
  name: string,
  types: readonly "active"[],
): Promise<string[]> {
  const backend = queue(name);
  const wanted = types.length > 0 ? [...types] : (["wait", "prioritized", "delayed"] as const);
  const ranges = await backend.getRanges([...wanted], 0, -1, true);
  const found = await Promise.all(ranges.flat().map((id) => redis.hGet(backend.toKey(id), "name")));
  return found.filter((job) => typeof job === "string");
}

async function retainedCount(backend: RedisQueueBackend): Promise<number> {
  const counts = await backend.getCounts(["prioritized"]);
  return counts[0] ?? 0;
}

function count(names: readonly string[], wanted: string): number {
  return names.reduce((sum, name) => (name === wanted ? sum + 1 : sum), 0);
}

function add(sum: number | null | undefined, value: number | null): number | null {
  if (sum === undefined) return value;
  return sum === null || value === null ? null : sum + value;
}
