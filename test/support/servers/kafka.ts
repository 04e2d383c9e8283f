import type { Address, ServerControl } from "../../../src/testing/conformance/harness.ts";
import { clientHost, folderOf, startServer, type ServerHandle, type ServerOptions } from "./handle.ts";
import { kafkaHome, type KafkaHome } from "./kafka-home.ts";
import { newKafkaId, planOf, type KafkaNode } from "./kafka-node.ts";
import { freePorts } from "./server-process.ts";

/** How a Kafka for tests is set up. */
export interface KafkaOptions extends ServerOptions {
  /** More of its configuration, by key. */
  readonly config?: Readonly<Record<string, string>>;
  /** More options of Java, which win over those that make a test's server start soon. */
  readonly java?: readonly string[];
  /** Where a proxy in front of it will listen. Default: a free port on loopback. */
  readonly proxy?: Address;
}

/** A Kafka, `kafka://127.0.0.1:port`. */
export interface TestKafka extends ServerHandle {
  readonly proxied: Required<ServerControl>["proxied"];
}

/**
 * Starts an Apache Kafka of one node on ports and in a folder of its own; resolves when clients are sent to it. It dies with
 * this process unless it is detached. Rejects with the reason where there is none to start.
 */
export async function startKafka(options: KafkaOptions = {}): Promise<TestKafka> {
  const home = installedKafka();
  const [port, behindPort, proxyPort, controller] = (await freePorts(4)) as [number, number, number, number];
  return startNode(home, options, {
    id: 1,
    port: options.port ?? port,
    behindPort,
    proxy: options.proxy ?? { host: "127.0.0.1", port: proxyPort },
    controllers: [controller],
    clusterId: newKafkaId(),
  });
}

/** Throws the reason where there is none. */
export function installedKafka(): KafkaHome {
  const home = kafkaHome();
  if (home.why !== undefined) throw new Error(`Kafka cannot be started: ${home.why}.`);
  return home;
}

/** Starts one node of a cluster. */
export async function startNode(
  home: KafkaHome,
  options: KafkaOptions,
  place: Omit<KafkaNode, "host" | "folder" | "config" | "java" | "detached">,
): Promise<TestKafka> {
  const { config = {}, java = [], detached = false } = options;
  const host = clientHost(options);
  const node = { ...place, host, folder: folderOf(options, "kafka"), config, java, detached };
  const url = `kafka://${host}:${node.port}`;
  const handle = await startServer(planOf(node, home), { ...options, url });
  const target = { host: "127.0.0.1", port: node.behindPort };
  return Object.assign(handle, { proxied: { address: node.proxy, target } });
}
