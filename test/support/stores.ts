import { rmSync } from "node:fs";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { RedisBroker, type RedisBrokerOptions } from "../../src/brokers/redis/broker.ts";
import type { Stores } from "../../src/core/store.ts";
import { MemoryStores } from "../../src/stores/memory-stores.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { scratchFolder } from "./file-store.ts";
import { startRedis } from "./servers/redis.ts";
import { startRedisCluster } from "./servers/redis-cluster.ts";

/** One place that several stores share, as processes do. */
export interface StoresPlace {
  /** Stores over the place, as another process would have them. */
  open(): Promise<Stores>;
  close(): Promise<void>;
}

/** A technology that keeps stores, as tests use it. */
export interface StoresHarness {
  readonly name: string;
  start(): Promise<void>;
  place(): StoresPlace;
  stop(): Promise<void>;
}

const nothing = async (): Promise<void> => {};

export const memoryStores: StoresHarness = {
  name: "memory",
  start: nothing,
  stop: nothing,
  place() {
    const stores = new MemoryStores();
    return { open: async () => stores, close: nothing };
  },
};

export const fileStores: StoresHarness = {
  name: "file",
  start: nothing,
  stop: nothing,
  place() {
    const directory = scratchFolder("stores");
    const brokers: FileBroker[] = [];
    return {
      async open() {
        const broker = new FileBroker({ directory });
        await broker.open();
        brokers.push(broker);
        return broker.createStores();
      },
      async close() {
        for (const broker of brokers) await broker.close();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  },
};

/** Stores in a Redis that is started for them. */
function onRedis(
  name: string,
  start: () => Promise<{ readonly options: RedisBrokerOptions; stop(): Promise<void> }>,
): StoresHarness {
  let server: Awaited<ReturnType<typeof start>> | undefined;
  return {
    name,
    async start() {
      server = await start();
    },
    async stop() {
      await server?.stop();
    },
    place() {
      const namespace = newPlace();
      const brokers: RedisBroker[] = [];
      return {
        async open() {
          const broker = new RedisBroker({ ...server?.options, namespace });
          await broker.open();
          brokers.push(broker);
          return broker.createStores();
        },
        async close() {
          for (const broker of brokers) await broker.close();
        },
      };
    },
  };
}

export const redisStores = onRedis("redis", async () => {
  const server = await startRedis();
  return { options: { url: server.url }, stop: () => server.stop() };
});

export const clusterStores = onRedis("a Redis cluster", async () => {
  const cluster = await startRedisCluster();
  const nodes = cluster.nodes.map(({ address }) => address);
  return { options: { url: cluster.nodes[0]?.url ?? "", cluster: { nodes } }, stop: () => cluster.stop() };
});
