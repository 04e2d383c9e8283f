import type { Address } from "../../../src/testing/conformance/harness.ts";
import { allStarted } from "./handle.ts";
import type { TestHost } from "./hosts.ts";
import { newKafkaId } from "./kafka-node.ts";
import { brokersOf } from "./kafka-wire.ts";
import { installedKafka, startNode, type KafkaOptions, type TestKafka } from "./kafka.ts";
import { freePorts } from "./server-process.ts";

/** Three Kafka nodes; of what was acknowledged by all, two hold it while one is away. */
export interface TestKafkaCluster extends AsyncDisposable {
  readonly nodes: readonly TestKafka[];
  stop(): Promise<void>;
}

const NODES = 3;

/** Starts a cluster of three nodes; resolves when each of them knows the others. */
export async function startKafkaCluster(
  options: Omit<KafkaOptions, "port" | "folder" | "proxy" | "host"> & {
    readonly folders?: readonly string[];
    /** One for each; absent: they run on loopback. They talk to one another on the back. */
    readonly hosts?: readonly TestHost[];
  } = {},
): Promise<TestKafkaCluster> {
  const home = installedKafka();
  const { folders, hosts, ...others } = options;
  const ports = await freePorts(NODES * 5);
  const part = (at: number) => ports.slice(at * NODES, (at + 1) * NODES);
  const clusterId = newKafkaId();
  const starts = part(0).map((port, at) => {
    const folder = folders?.[at];
    const host = hosts?.[at];
    const own = {
      ...others,
      ...(folder === undefined ? {} : { folder }),
      ...(host === undefined ? {} : { host }),
      config: { ...(hosts === undefined ? {} : onHosts(hosts, at, part)), ...others.config },
    };
    return startNode(home, own, {
      id: at + 1,
      port,
      behindPort: part(1)[at] as number,
      proxy: { host: "127.0.0.1", port: part(2)[at] as number },
      controllers: part(3),
      clusterId,
    });
  });
  const { nodes, stop } = await allStarted(starts);
  try {
    for (const { address } of nodes) await knowsAll(address);
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, stop, [Symbol.asyncDispose]: stop };
}

/** Clients come from the front; brokers and controllers meet on the back. */
function onHosts(
  hosts: readonly TestHost[],
  at: number,
  part: (at: number) => readonly number[],
): Readonly<Record<string, string>> {
  const { front, back } = (hosts[at] as TestHost).addresses;
  const open = [`CLIENT://${front}:${part(0)[at]}`, `BETWEEN://${back}:${part(4)[at]}`];
  const voters = hosts.map(({ addresses }, node) => `${node + 1}@${addresses.back}:${part(3)[node]}`);
  return {
    "controller.quorum.voters": voters.join(","),
    listeners: [...open, `CONTROLLER://${back}:${part(3)[at]}`].join(","),
    "advertised.listeners": open.join(","),
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,BETWEEN:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BETWEEN",
  };
}

async function knowsAll(address: Address): Promise<void> {
  const endsAt = performance.now() + 30_000;
  while ((await brokersOf(address)).length < NODES) {
    if (performance.now() > endsAt)
      throw new Error(`The Kafka on port ${address.port} does not know the others.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
