import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { MessagingService } from "../../../src/service/service.ts";
import type { CheckOptions } from "../../../src/testing/checker/options.ts";
import type { Address, ChildModule, ServerControl } from "../../../src/testing/conformance/harness.ts";
import { FaultProxy } from "../../../src/testing/fault-proxy.ts";
import { childAtAll } from "../child-address.ts";
import { bullmqAt } from "../child-bullmq.ts";
import { failoverAt } from "../child-failover.ts";
import { fileAt } from "../child-file.ts";
import { natsAt } from "../child-nats.ts";
import { redisAt } from "../child-redis.ts";
import { makeHosts, type TestHost } from "../servers/hosts.ts";
import { startKafkaCluster } from "../servers/kafka-cluster.ts";
import { startNatsCluster } from "../servers/nats-cluster.ts";
import { startNats } from "../servers/nats.ts";
import { kafkaAt } from "../child-kafka.ts";
import { startKafka } from "../servers/kafka.ts";
import type { ServerHandle } from "../servers/handle.ts";
import { startRedis } from "../servers/redis.ts";
import { rabbitAt } from "../child-rabbitmq.ts";
import { controlOf } from "../harness-rabbitmq.ts";
import { startRabbit } from "../servers/rabbitmq.ts";
import { smallDisk, type SmallDisk } from "../small-disk.ts";
import {
  fillDisk,
  flap,
  linkFaults,
  partitions,
  pauseClient,
  serverFaults,
  stopClient,
  type Fault,
} from "./fault.ts";

/** A broker with everything that can be done to it. */
export interface Stage extends AsyncDisposable {
  readonly name: string;
  /** URL of its `ChildModule`. */
  readonly child: string;
  readonly own: ChildModule;
  readonly place: string;
  /** What stands between the processes and the server. */
  readonly address?: Address;
  readonly faults: readonly Fault[];
  readonly notApplicable: readonly string[];
  readonly check: CheckOptions;
  /** Does it recognise ids published again? Default true. */
  readonly dedupe?: boolean;
}

const createService: ChildModule["createService"] = (options) => new MessagingService(options);
const childUrl = (name: string, query: string) => new URL(`../${name}?${query}`, import.meta.url).href;

/** Every broker that can be put on a stage. */
export const STAGES: Readonly<Record<string, (messages: number) => Promise<Stage>>> = {
  file: fileStage,
  redis: redisStage,
  bullmq: bullmqStage,
  nats: natsStage,
  "nats-cluster": natsClusterStage,
  kafka: kafkaStage,
  "kafka-cluster": kafkaClusterStage,
  rabbitmq: rabbitStage,
  failover: failoverStage,
};

// What a message leaves behind in the files of the broker at most, with its effect and its place in the inbox.
const BYTES_A_MESSAGE = 4000;
const MAX_DISK_MIB = 256;

/** A disk in memory that can be filled, where that is possible and the messages find room on it. */
function diskFor(messages: number): SmallDisk | { readonly why: string } {
  const mib = 64 + Math.ceil((messages * BYTES_A_MESSAGE) / 2 ** 20);
  if (mib > MAX_DISK_MIB) return { why: `${messages} messages need more than a small disk` };
  return smallDisk(mib);
}

async function fileStage(messages: number): Promise<Stage> {
  const disk = diskFor(messages);
  const hasDisk = "folder" in disk;
  const root = hasDisk ? disk.folder : mkdtempSync(path.join(tmpdir(), "herald-chaos-"));
  return {
    name: "file",
    child: childUrl("child-file.ts", `root=${encodeURIComponent(root)}`),
    own: { createBroker: (place) => fileAt(path.join(root, place)), createService },
    place: "chaos",
    faults: [pauseClient, stopClient, ...(hasDisk ? [fillDisk(disk)] : [])],
    notApplicable: [
      "F4-F8, F22-F24, F26: there is no server and no link",
      ...(hasDisk ? [] : [`F10: ${disk.why}`]),
    ],
    check: { order: "relaxed" },
    async [Symbol.asyncDispose]() {
      if (hasDisk) disk.release();
      else rmSync(root, { recursive: true, force: true });
    },
  };
}

/** What a stage over a server is made of. */
type Played = Pick<Stage, "child" | "own" | "check" | "dedupe"> & {
  /** Why its disk is not filled. */
  readonly full: string;
  readonly root?: string;
  /** How it is hurt; default: as any server. */
  readonly control?: ServerControl;
};

/** A broker over a server of its own, which its processes reach through a proxy. */
async function overServer<S extends ServerHandle>(
  name: string,
  start: () => Promise<S>,
  made: (server: S) => Played,
): Promise<Stage & { readonly proxy: FaultProxy }> {
  const server = await start();
  const proxy = await FaultProxy.before(server);
  const { full, root, control = server, ...played } = made(server);
  return {
    ...played,
    name,
    place: "chaos",
    address: proxy.address,
    proxy,
    faults: [pauseClient, stopClient, ...serverFaults(control), ...linkFaults(proxy)],
    notApplicable: [
      `F10: ${full}; see the page of the broker`,
      "F23, F24: what an operator deletes is lost and reported; see the page of the broker",
      "F26: one broker has no modes",
    ],
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await server.stop();
      if (root !== undefined) rmSync(root, { recursive: true, force: true });
    },
  };
}

const FULL_REDIS = "a Redis that cannot write its log refuses or ends";

function redisStage(): Promise<Stage> {
  return overServer("redis", startRedis, (server) => ({
    child: childUrl("child-redis.ts", `port=${server.port}`),
    own: { createBroker: (place) => redisAt(place, server.address), createService },
    check: { order: "relaxed" },
    full: FULL_REDIS,
  }));
}

function bullmqStage(): Promise<Stage> {
  return overServer("bullmq", startRedis, (server) => ({
    child: childUrl("child-bullmq.ts", `port=${server.port}`),
    own: { createBroker: (place) => bullmqAt(place, server.address), createService },
    check: { order: "none" },
    full: FULL_REDIS,
  }));
}

function natsStage(): Promise<Stage> {
  return overServer("nats", startNats, (server) => ({
    child: childUrl("child-nats.ts", `port=${server.port}`),
    own: { createBroker: (place) => natsAt(place, server.address), createService },
    check: { order: "none" },
    full: "a JetStream that cannot write refuses or disables itself",
  }));
}

function kafkaStage(): Promise<Stage> {
  return overServer("kafka", startKafka, (server) => ({
    child: childUrl("child-kafka.ts", `port=${server.port}`),
    own: { createBroker: (place) => kafkaAt(place, server.address), createService },
    check: { order: "relaxed" },
    full: "a Kafka whose disk is full stops",
  }));
}

/** A cluster of three, each on a host of its own; what is done to a server is done to each in turn. */
async function overHosts(
  name: string,
  start: (
    hosts: readonly TestHost[],
  ) => Promise<AsyncDisposable & { readonly nodes: readonly ServerHandle[] }>,
  made: (addresses: readonly Address[]) => Pick<Stage, "child" | "own" | "check">,
): Promise<Stage> {
  const { hosts, ...network } = await makeHosts(3);
  const cluster = await start(hosts).catch(async (error: unknown) => {
    await network[Symbol.asyncDispose]();
    throw error;
  });
  return {
    ...made(cluster.nodes.map(({ address }) => address)),
    name,
    place: "chaos",
    faults: [pauseClient, stopClient, ...serverFaults(inTurn(cluster.nodes)), ...partitions(hosts)],
    notApplicable: ["F6-F8, F22: done to the links of one server", "F10, F23, F24, F26: as with one server"],
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]();
      await network[Symbol.asyncDispose]();
    },
  };
}

/** The nodes of a cluster as one server: with each hurt the next one's turn comes. */
function inTurn(nodes: readonly ServerHandle[]): Pick<ServerControl, "kill" | "start" | "pause" | "resume"> {
  let at = 0;
  const node = () => nodes[at % nodes.length] as ServerHandle;
  const ending = async (task: Promise<void>) => {
    await task;
    at++;
  };
  return {
    kill: () => node().kill(),
    start: () => ending(node().start()),
    pause: () => node().pause(),
    resume: () => ending(node().resume()),
  };
}

function natsClusterStage(): Promise<Stage> {
  return overHosts(
    "nats-cluster",
    (hosts) => startNatsCluster({ hosts }),
    (addresses) => ({
      child: childAtAll("child-nats.ts", addresses).href,
      own: { createBroker: (place) => natsAt(place, ...asked(addresses)), createService },
      check: { order: "none" },
    }),
  );
}

function kafkaClusterStage(): Promise<Stage> {
  return overHosts(
    "kafka-cluster",
    (hosts) => startKafkaCluster({ hosts }),
    (addresses) => ({
      child: childAtAll("child-kafka.ts", addresses).href,
      own: { createBroker: (place) => kafkaAt(place, ...asked(addresses)), createService },
      check: { order: "relaxed" },
    }),
  );
}

function asked([first, ...others]: readonly Address[]): [Address, string[]] {
  return [first as Address, others.map(({ host, port }) => `${host}:${port}`)];
}

function rabbitStage(): Promise<Stage> {
  return overServer("rabbitmq", startRabbit, (server) => ({
    child: childUrl("child-rabbitmq.ts", `port=${server.port}`),
    own: { createBroker: (place) => rabbitAt(place, server.address), createService },
    check: { order: "none" },
    dedupe: false,
    full: "a RabbitMQ with a full disk blocks its publishers",
    control: controlOf(server),
  }));
}

async function failoverStage(): Promise<Stage> {
  const root = mkdtempSync(path.join(tmpdir(), "herald-chaos-"));
  const stage = await overServer("failover", startRedis, (server) => ({
    child: childUrl("child-failover.ts", `port=${server.port}&root=${encodeURIComponent(root)}`),
    own: {
      createBroker: (place) => failoverAt({ place, directory: path.join(root, place) }, server.address),
      createService,
    },
    // Between what a dying primary holds and what is published after it died there is no order: see the page of the broker.
    check: { order: "none" },
    full: FULL_REDIS,
    root,
  }));
  return {
    ...stage,
    faults: [...stage.faults, flap(stage.proxy)],
    notApplicable: stage.notApplicable.filter((line) => !line.startsWith("F26")),
  };
}
