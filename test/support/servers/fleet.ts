import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import path from "node:path";
import { birthOf } from "./birth.ts";
import { startKafkaCluster } from "./kafka-cluster.ts";
import { startKafka } from "./kafka.ts";
import { startNatsCluster } from "./nats-cluster.ts";
import { startNats } from "./nats.ts";
import { startRabbit } from "./rabbitmq.ts";
import { startRedisCluster } from "./redis-cluster.ts";
import { startRedisSentinels } from "./redis-sentinel.ts";
import { startRedis } from "./redis.ts";

/** One process of the fleet. Its id may be another's later, its birth may not. */
interface Member {
  readonly pid: number;
  readonly birth: string;
}

/** What runs under one name. */
export interface Standing {
  readonly name: string;
  /** How a program connects. */
  readonly url: string;
  readonly members: readonly Member[];
}

interface Nodes {
  readonly nodes: readonly { readonly url: string; readonly pid: number | undefined }[];
}

type Starter = (folder: string) => Promise<Omit<Standing, "name">>;

const members = (...pids: readonly (number | undefined)[]): readonly Member[] =>
  pids.map((pid) => ({ pid: pid as number, birth: birthOf(pid as number) as string }));

const cluster = (start: (options: { detached: true; folders: readonly string[] }) => Promise<Nodes>) => {
  return async (folder: string) => {
    const folders = [0, 1, 2].map((at) => made(path.join(folder, String(at))));
    const { nodes } = await start({ detached: true, folders });
    return { url: nodes.map(({ url }) => url).join(" "), members: members(...nodes.map(({ pid }) => pid)) };
  };
};

const single = (start: (options: { detached: true; folder: string }) => Promise<Nodes["nodes"][number]>) => {
  return async (folder: string) => {
    const { url, pid } = await start({ detached: true, folder });
    return { url, members: members(pid) };
  };
};

/** What can be asked for, by name. Every part of it keeps its data below the folder it is given. */
const STARTERS: Readonly<Record<string, Starter>> = {
  redis: single(startRedis),
  "redis-volatile": single((options) => startRedis({ ...options, appendonly: false })),
  async "redis-sentinel"(folder) {
    const { name, ports, pids, primary, replica } = await startRedisSentinels({ detached: true, folder });
    const url = `${ports.map((port) => `redis://127.0.0.1:${port}`).join(" ")} (Sentinels of '${name}')`;
    return { url, members: members(...pids, replica.pid, primary.pid) };
  },
  "redis-cluster": cluster(startRedisCluster),
  kafka: single(startKafka),
  "kafka-cluster": cluster(startKafkaCluster),
  async rabbitmq(folder) {
    const { url, managementUrl, pid, epmd } = await startRabbit({ detached: true, folder, management: true });
    return { url: `${url} (management: ${managementUrl})`, members: members(pid, epmd.pid) };
  },
  nats: single(startNats),
  "nats-cluster": cluster(startNatsCluster),
};

/** The names that `up` takes. */
export const FLEET: readonly string[] = Object.keys(STARTERS);

const HOME = path.join(tmpdir(), `herald-servers-${userInfo().uid}`);
const STATE = path.join(HOME, "state.json");

/** What of the fleet runs, as it was written down and is still true. */
export function standing(): readonly Standing[] {
  return written().filter(({ members }) => members.some(isAlive));
}

/** Starts one of {@link FLEET} unless it runs; resolves when it answers. */
export async function up(name: string): Promise<Standing> {
  const running = standing().find((one) => one.name === name);
  if (running !== undefined) return running;
  const folder = path.join(HOME, name);
  rmSync(folder, { recursive: true, force: true });
  const started = await (STARTERS[name] as Starter)(made(folder));
  const one = { name, ...started };
  write([...standing(), one]);
  return one;
}

/** Ends one that {@link up} started, and forgets its data. */
export function down({ name, members }: Standing): void {
  for (const member of members) if (isAlive(member)) process.kill(member.pid, "SIGKILL");
  write(written().filter((one) => one.name !== name));
  rmSync(path.join(HOME, name), { recursive: true, force: true });
}

function isAlive({ pid, birth }: Member): boolean {
  return birthOf(pid) === birth;
}

function made(folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

function written(): readonly Standing[] {
  try {
    return JSON.parse(readFileSync(STATE, "utf8")) as readonly Standing[];
  } catch {
    return [];
  }
}

function write(all: readonly Standing[]): void {
  made(HOME);
  writeFileSync(STATE, JSON.stringify(all, undefined, 2), { mode: 0o600 });
}
