import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { redisBinary } from "./redis-binary.ts";
import { pings, startRedis, type TestServer } from "./redis.ts";
import { ask } from "./resp.ts";
import { freePorts, ServerProcess } from "./server-process.ts";

/** A primary with a replica, watched by three Sentinels that agree by two. */
export interface TestSentinels extends AsyncDisposable {
  /** What the Sentinels call the primary. */
  readonly name: string;
  readonly ports: readonly number[];
  readonly pids: readonly number[];
  readonly primary: TestServer;
  readonly replica: TestServer;
  stop(): Promise<void>;
}

const SENTINELS = 3;
const NAME = "herald";

/** How the servers around a Sentinel trio are set up. */
export interface SentinelOptions {
  readonly detached?: boolean;
  /** Where everything lies; absent: a folder that goes with it. */
  readonly folder?: string;
}

/** Starts the trio; resolves when every Sentinel knows the replica and the other two. */
export async function startRedisSentinels(options: SentinelOptions = {}): Promise<TestSentinels> {
  const detached = options.detached ?? false;
  const folder = options.folder ?? mkdtempSync(path.join(tmpdir(), "herald-sentinel-"));
  const primary = await startRedis({ detached, folder: made(path.join(folder, "primary")) });
  const config = { replicaof: `127.0.0.1 ${primary.port}` };
  const replica = await startRedis({ detached, config, folder: made(path.join(folder, "replica")) });
  const ports = await freePorts(SENTINELS);
  const sentinels = ports.map((port) => sentinel(folder, port, primary.port, detached));
  const stop = async () => {
    await Promise.all([...sentinels.map((one) => one.kill()), replica.stop(), primary.stop()]);
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const one of sentinels) await one.start();
    for (const port of ports) await knowsAll(port);
  } catch (error) {
    await stop();
    throw error;
  }
  const pids = sentinels.map(({ pid }) => pid as number);
  return { name: NAME, ports, pids, primary, replica, stop, [Symbol.asyncDispose]: stop };
}

function made(folder: string): string {
  mkdirSync(folder);
  return folder;
}

function sentinel(folder: string, port: number, primaryPort: number, detached: boolean): ServerProcess {
  const file = path.join(folder, `sentinel-${port}.conf`);
  const lines = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${folder}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${NAME} 500`,
    `sentinel failover-timeout ${NAME} 3000`,
  ];
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
  const binary = redisBinary().path as string;
  return new ServerProcess({
    binary,
    args: [file, "--sentinel"],
    port,
    folder,
    detached,
    answers: () => pings(port),
  });
}

async function knowsAll(port: number): Promise<void> {
  const endsAt = performance.now() + 30_000;
  for (;;) {
    const fields = (await ask(port, "SENTINEL", "MASTER", NAME)) as readonly string[];
    const value = (field: string) => Number(fields[fields.indexOf(field) + 1]);
    if (value("num-slaves") === 1 && value("num-other-sentinels") === SENTINELS - 1) return;
    if (performance.now() > endsAt) throw new Error(`The Sentinel on port ${port} does not know the others.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
