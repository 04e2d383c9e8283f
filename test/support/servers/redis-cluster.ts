import { freePorts } from "./server-process.ts";
import { startRedis, type RedisOptions, type TestServer } from "./redis.ts";

/** A cluster of primaries, each with a third of the slots. */
export interface TestCluster extends AsyncDisposable {
  readonly nodes: readonly TestServer[];
  stop(): Promise<void>;
}

const NODES = 3;
const SLOTS = 16_384;

/** Starts a cluster of three nodes; resolves when every node knows that it is whole. */
export async function startRedisCluster(
  options: Pick<RedisOptions, "detached"> & { readonly folders?: readonly string[] } = {},
): Promise<TestCluster> {
  const buses = await freePorts(NODES);
  const nodes = await Promise.all(buses.map((bus, at) => startRedis(nodeOptions(options, bus, at))));
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())));
  try {
    await join(nodes, buses);
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, stop, [Symbol.asyncDispose]: stop };
}

function nodeOptions(
  { detached, folders }: { readonly detached?: boolean; readonly folders?: readonly string[] },
  bus: number,
  at: number,
): RedisOptions {
  const folder = folders?.[at];
  return {
    config: { "cluster-enabled": "yes", "cluster-port": String(bus), "cluster-node-timeout": "2000" },
    ...(detached === undefined ? {} : { detached }),
    ...(folder === undefined ? {} : { folder }),
  };
}

async function join(nodes: readonly TestServer[], buses: readonly number[]): Promise<void> {
  const share = Math.ceil(SLOTS / nodes.length);
  for (const [at, node] of nodes.entries()) {
    const last = Math.min(SLOTS, (at + 1) * share) - 1;
    await node.command("CLUSTER", "ADDSLOTSRANGE", String(at * share), String(last));
    await node.command("CLUSTER", "SET-CONFIG-EPOCH", String(at + 1));
  }
  const [first, ...others] = nodes as [TestServer, ...TestServer[]];
  for (const [at, other] of others.entries())
    await first.command("CLUSTER", "MEET", "127.0.0.1", String(other.port), String(buses[at + 1]));
  for (const node of nodes) await isWhole(node);
}

async function isWhole(node: TestServer): Promise<void> {
  const endsAt = performance.now() + 30_000;
  for (;;) {
    const info = String(await node.command("CLUSTER", "INFO"));
    if (info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${NODES}`)) return;
    if (performance.now() > endsAt) throw new Error(`The cluster did not come together:\n${info}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
