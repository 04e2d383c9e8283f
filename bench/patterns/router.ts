import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { RouteTable } from "../../src/routing/route-table.ts";
import { createRouting, MessageRouter, type Routing } from "../../src/service/routing.ts";
import type { Case } from "../memory/cases.ts";
import { PAYLOAD, quantile, startService } from "../memory/service.ts";

const PATTERNS = 10_000;
const SAMPLES = 200_000;

/** Of every ten: seven names, two with `*` in a place, one with a `#` at its end. */
function patternOf(n: number): string {
  const tenant = `tenant-${n % 500}`;
  if (n % 10 === 7) return `${tenant}.orders.*.v${n}`;
  if (n % 10 === 8) return `${tenant}.*.created.v${n}`;
  if (n % 10 === 9) return `${tenant}.audit.v${n}.#`;
  return `${tenant}.orders.created.v${n}`;
}

function channelOf(n: number): string {
  const at = (n * 7919) % PATTERNS;
  return `tenant-${at % 500}.${at % 10 === 9 ? "audit" : "orders"}.${at % 10 === 9 ? `v${at}.disk` : `created.v${at}`}`;
}

/** Microseconds to find the routes of a channel among 10,000 patterns, median; every channel has one at least. */
async function resolve(): Promise<number> {
  const table = new RouteTable();
  for (let n = 0; n < PATTERNS; n++) table.add({ pattern: patternOf(n), handler: () => undefined });
  const channels = Array.from({ length: SAMPLES }, (_none, n) => channelOf(n));
  const samples = channels.map((channel) => {
    const startedAt = process.hrtime.bigint();
    const found = table.match(channel).length;
    const took = Number(process.hrtime.bigint() - startedAt) / 1000;
    if (found === 0) throw new Error(`No route for ${channel}.`);
    return took;
  });
  return quantile(samples, 0.5);
}

/** Messages a second through `handle()`, 10,000 patterns, three middlewares. */
async function handled(): Promise<number> {
  await using router = new MessageRouter(new MemoryBroker());
  for (let n = 0; n < 3; n++) router.use((_message, next) => next());
  for (let n = 0; n < PATTERNS; n++) router.route({ pattern: patternOf(n), handler: () => undefined });
  const count = 300_000;
  const message = { id: "1", timestamp: "", source: "bench", payload: null };
  const metadata = { priority: 50, retryCount: 0, contentType: "application/json" };
  const startedAt = performance.now();
  for (let n = 0; n < count; n++) await router.handle({ ...message, channel: channelOf(n), metadata });
  return (count / (performance.now() - startedAt)) * 1000;
}

const ALONE = "memory: publishes alone";

/** Publishes a second that the broker has, a thousand under way together; every one may be copied to one target. */
async function published(routing: Routing | undefined, count = 100_000): Promise<number> {
  await using service = await startService(routing === undefined ? {} : { routing });
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += 1000)
    await Promise.all(Array.from({ length: 1000 }, () => service.publish("bench.routed", PAYLOAD)));
  return (count / (performance.now() - startedAt)) * 1000;
}

/** A thousand rules for other channels, and one for the bench's own. */
function rules(source: string, transform?: object): Promise<Routing> {
  const others = Array.from({ length: 1000 }, (_none, n) => ({
    source: "*",
    channel: `other.c${n}.*`,
    targets: ["x"],
  }));
  const own = {
    source,
    channel: "bench.*",
    targets: ["audit"],
    ...(transform === undefined ? {} : { transform: "t" }),
  };
  return createRouting({
    apiVersion: "ossa/v0.3.1",
    kind: "MessageRouting",
    metadata: { name: "bench" },
    spec: { rules: [...others, own], transforms: transform === undefined ? {} : { t: transform } },
  });
}

const JSONATA = { type: "jsonata", expression: '{ "id": id, "kind": $uppercase(kind) }' };

export const ROUTER_CASES: readonly Case[] = [
  { name: "router: one of 10,000 patterns found, median", unit: "µs", run: resolve },
  { name: "router: handle() among 10,000 patterns, 3 middlewares", unit: "messages/s", run: handled },
  { name: ALONE, unit: "messages/s", run: () => published(undefined) },
  {
    name: "memory: publishes, 1,001 rules, none fits",
    unit: "messages/s",
    against: ALONE,
    run: async () => published(await rules("nobody")),
  },
  {
    name: "memory: publishes, one copy each",
    unit: "messages/s",
    against: ALONE,
    run: async () => published(await rules("bench")),
  },
  {
    name: "memory: publishes, one copy each by JSONata",
    unit: "messages/s",
    against: ALONE,
    run: async () => published(await rules("bench", JSONATA), 20_000),
  },
];
