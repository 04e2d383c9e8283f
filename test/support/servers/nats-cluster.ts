import { allStarted } from "./handle.ts";
import type { TestHost } from "./hosts.ts";
import { startNats, type NatsOptions, type TestNats } from "./nats.ts";
import { freePorts } from "./server-process.ts";

/** Three NATS servers that keep streams of three replicas. */
export interface TestNatsCluster extends AsyncDisposable {
  readonly nodes: readonly TestNats[];
  stop(): Promise<void>;
}

const NODES = 3;

/** Starts a cluster of three; resolves when JetStream has a leader that every node knows. */
export async function startNatsCluster(
  options: Omit<NatsOptions, "port" | "folder" | "serverName" | "host"> & {
    readonly folders?: readonly string[];
    /** One for each; absent: they run on loopback. They talk to one another on the back. */
    readonly hosts?: readonly TestHost[];
  } = {},
): Promise<TestNatsCluster> {
  const { folders, hosts, ...others } = options;
  const routes = (await freePorts(NODES)).map(
    (port, at) => `${hosts?.[at]?.addresses.back ?? "127.0.0.1"}:${port}`,
  );
  const urls = routes.map((route) => `"nats://${route}"`).join(", ");
  const starts = routes.map((route, at) => {
    const folder = folders?.[at];
    const host = hosts?.[at];
    const cluster = `{ name: herald, listen: "${route}", routes: [${urls}] }`;
    return startNats({
      ...others,
      ...(host === undefined ? {} : { host }),
      serverName: `herald-${at + 1}`,
      config: { cluster, ...options.config },
      ...(folder === undefined ? {} : { folder }),
    });
  });
  const { nodes, stop } = await allStarted(starts);
  return { nodes, stop, [Symbol.asyncDispose]: stop };
}
