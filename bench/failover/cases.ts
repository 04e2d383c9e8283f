import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FailoverBroker } from "../../src/brokers/failover/broker.ts";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { startRedis, type TestServer } from "../../test/support/servers/redis.ts";
import type { Case } from "../memory/cases.ts";
import { quantile } from "../memory/service.ts";
import { BATCH, envelopes, through } from "../through.ts";

/** `HERALD_BENCH_DRAIN=1000000` drains a million. */
const DRAINED = Number(process.env["HERALD_BENCH_DRAIN"] ?? 100_000);
const WRITERS = 8;
const BARE = "redis broker alone: published, received, acknowledged";

interface Pair {
  readonly server: TestServer;
  readonly broker: FailoverBroker;
}

/** A Redis of its own with files to fall back to. */
async function withPair<T>(run: (pair: Pair) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(path.join(tmpdir(), "herald-bench-failover-"));
  await using server = await startRedis({ appendfsync: "everysec" });
  const broker = new FailoverBroker({
    primary: new RedisBroker({ url: server.url, requireDurability: "none" }),
    fallback: new FileBroker({ directory }),
    coordination: { holdDownMs: 1000, retryInterval: 100, transitionCooldown: 100 },
  });
  await broker.open();
  try {
    return await run({ server, broker });
  } finally {
    await broker.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function bare(): Promise<number> {
  await using server = await startRedis({ appendfsync: "everysec" });
  const broker = new RedisBroker({ url: server.url, requireDurability: "none" });
  await broker.open();
  const rate = await through(broker);
  await broker.close();
  return rate;
}

/** How long a publish takes while the primary fails, of eight writers: the quantile over those after the fault. */
function gap(hurt: (server: TestServer) => Promise<void>, fraction: number): Promise<number> {
  return withPair(async ({ server, broker }) => {
    const tookMs: number[] = [];
    let isOver = false;
    let n = 0;
    const write = async () => {
      while (!isOver) {
        const from = performance.now();
        const [result] = await broker.publish(envelopes(n++, 1, "gap"));
        if (result?.ok !== true) throw result?.error ?? new Error("no result");
        tookMs.push(performance.now() - from);
      }
    };
    const writing = Promise.all(Array.from({ length: WRITERS }, write));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = tookMs.length;
    await hurt(server);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    isOver = true;
    await writing;
    return quantile(tookMs.slice(before), fraction);
  });
}

/** Seconds until everything that was written on files has reached the primary, with live traffic. */
function drain(): Promise<number> {
  return withPair(async ({ server, broker }) => {
    await server.kill();
    for (let sent = 0; sent < DRAINED; sent += BATCH) await broker.publish(envelopes(sent, BATCH, "drain"));
    await server.start();
    const startedAt = performance.now();
    let isOver = false;
    const live = (async () => {
      for (let n = 0; !isOver; n++) {
        await broker.publish(envelopes(n, 1, "live"));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
    while (broker.control.mode === "isolated" || (await broker.control.counts()).drained < DRAINED)
      await new Promise((resolve) => setTimeout(resolve, 50));
    const seconds = (performance.now() - startedAt) / 1000;
    isOver = true;
    await live;
    return seconds;
  });
}

/** Failover from Redis to files, beside the Redis broker alone. */
export const FAILOVER_CASES: readonly Case[] = [
  { name: BARE, unit: "msg/s", run: bare },
  {
    name: "failover: the same, journal off",
    unit: "msg/s",
    against: BARE,
    run: () => withPair(({ broker }) => through(broker)),
  },
  {
    name: "publish after kill -9 of the primary, p99",
    unit: "ms",
    run: () => gap((server) => server.kill(), 0.99),
  },
  {
    name: "publish after kill -9 of the primary, longest",
    unit: "ms",
    run: () => gap((server) => server.kill(), 1),
  },
  {
    name: "publish after SIGSTOP of the primary, longest",
    unit: "ms",
    run: () => gap((server) => server.pause(), 1),
  },
  { name: `drain of ${DRAINED} messages with live traffic`, unit: "s", run: drain },
];
