import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Address } from "../../../src/testing/conformance/harness.ts";
import { SHORT_LIVED } from "./java-tools.ts";
import type { KafkaHome } from "./kafka-home.ts";
import { brokersOf } from "./kafka-wire.ts";
import type { ServerPlan } from "./server-process.ts";

/** One process that is broker and controller in one. */
export interface KafkaNode {
  readonly id: number;
  readonly folder: string;
  readonly host: string;
  /** Where clients and other brokers connect. */
  readonly port: number;
  /** Where a proxy connects that stands between clients and the node. */
  readonly behindPort: number;
  /** Where that proxy listens: what clients are told that came through it. */
  readonly proxy: Address;
  /** Ports of the controllers; that of node 1 first. */
  readonly controllers: readonly number[];
  readonly clusterId: string;
  /** More of its configuration. */
  readonly config: Readonly<Record<string, string>>;
  /** More options of Java, which win. */
  readonly java: readonly string[];
  readonly detached: boolean;
}

const JAVA = [
  "-Xms64m",
  "-Xmx384m",
  ...SHORT_LIVED,
  "-XX:-UsePerfData",
  "-XX:+ExitOnOutOfMemoryError",
  "-Xlog:disable",
];

const LOGGING = `status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
`;

/** Arguments that make Java run one of Kafka's programs in a folder, which `settle` has filled. */
export function javaArgs(classPath: string, program: string, more: readonly string[] = []): string[] {
  const properties = ["-Djava.io.tmpdir=.", "-Dlog4j2.configurationFile=log4j2.properties"];
  return [...JAVA, ...more, ...properties, "-cp", classPath, program];
}

/** Writes the configuration of a node. */
export function settle(node: KafkaNode): void {
  const lines = Object.entries(propertiesOf(node)).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(path.join(node.folder, "server.properties"), lines.join(""));
  writeFileSync(path.join(node.folder, "log4j2.properties"), LOGGING);
}

/** How a node runs. Its storage is formatted unless it has some. */
export function planOf(node: KafkaNode, { java, classPath, prepared }: KafkaHome): ServerPlan {
  const { folder, port, detached } = node;
  settle(node);
  format(node, path.join(prepared, "formatted"));
  const archive = path.join(prepared, "classes.jsa");
  const more = [...(existsSync(archive) ? [`-XX:SharedArchiveFile=${archive}`] : []), ...node.java];
  return {
    binary: java,
    args: [...javaArgs(classPath, "kafka.Kafka", more), "server.properties"],
    port,
    folder,
    detached,
    answers: () => isServing(node),
  };
}

/** Resolves when clients are sent to the node. */
export async function isServing({ id, host, port }: Pick<KafkaNode, "id" | "host" | "port">): Promise<void> {
  if (!(await brokersOf({ host, port })).includes(id)) throw new Error(`broker ${id} is not registered`);
}

/** What Kafka's own tool wrote once, under names of this node's own: a start of Java less for every server. */
function format({ id, folder, clusterId }: KafkaNode, formatted: string): void {
  const data = path.join(folder, "data");
  if (existsSync(path.join(data, "meta.properties"))) return;
  mkdirSync(data, { recursive: true });
  cpSync(formatted, data, { recursive: true });
  const meta = { version: 1, "cluster.id": clusterId, "node.id": id, "directory.id": newKafkaId() };
  const lines = Object.entries(meta).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(path.join(data, "meta.properties"), lines.join(""));
}

/** As Kafka writes its ids: 16 bytes in base64url, of which none begins with a dash. */
export function newKafkaId(): string {
  return `h${randomBytes(16).toString("base64url").slice(1)}`;
}

function propertiesOf(node: KafkaNode): Readonly<Record<string, string>> {
  const { id, port, behindPort, proxy, controllers } = node;
  const copies = String(controllers.length);
  const inSync = String(Math.ceil(controllers.length / 2));
  return {
    "process.roles": "broker,controller",
    "node.id": String(id),
    "controller.quorum.voters": controllers.map((each, at) => `${at + 1}@127.0.0.1:${each}`).join(","),
    listeners: `CLIENT://127.0.0.1:${port},PROXIED://127.0.0.1:${behindPort},CONTROLLER://127.0.0.1:${controllers[id - 1]}`,
    "advertised.listeners": `CLIENT://127.0.0.1:${port},PROXIED://${proxy.host}:${proxy.port}`,
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": "data",
    "auto.create.topics.enable": "false",
    "default.replication.factor": copies,
    "min.insync.replicas": inSync,
    ...internalTopics(copies, inSync),
    ...SMALL,
    ...SOON,
    ...node.config,
  };
}

function internalTopics(copies: string, inSync: string): Readonly<Record<string, string>> {
  return {
    "offsets.topic.replication.factor": copies,
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": copies,
    "transaction.state.log.min.isr": inSync,
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.replication.factor": copies,
    "share.coordinator.state.topic.min.isr": inSync,
    "share.coordinator.state.topic.num.partitions": "3",
  };
}

/** Few threads and little memory: several run on a small machine at once. */
const SMALL = {
  "num.network.threads": "2",
  "num.io.threads": "4",
  "background.threads": "2",
  "num.recovery.threads.per.data.dir": "1",
  "log.cleaner.dedupe.buffer.size": "4194304",
};

/** What takes seconds by default and would hold up a test. */
const SOON = {
  "group.initial.rebalance.delay.ms": "0",
  // A broker that was killed may register again when its old self is given up on.
  "broker.heartbeat.interval.ms": "250",
  "broker.session.timeout.ms": "2000",
  // How soon consumers may ask to be missed.
  "group.min.session.timeout.ms": "1000",
  "group.consumer.min.session.timeout.ms": "1000",
  "group.consumer.min.heartbeat.interval.ms": "100",
  "group.consumer.session.timeout.ms": "6000",
  "group.consumer.heartbeat.interval.ms": "500",
  "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
};
