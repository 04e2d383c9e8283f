import { HeraldError } from "../../core/errors.ts";
import type { Connect, RawClient } from "./link.ts";
import type { RedisAddress, RedisSettings } from "./options.ts";

type Package = typeof import("@redis/client");
/** The answer shapes of protocol 2: plain arrays, which is what every raw command here is read as. */
const RESP = 2;

/** Loads the client package. Rejects with `UNSUPPORTED` naming it when it is not installed. */
export async function loadPackage(): Promise<Package> {
  try {
    return await import("@redis/client");
  } catch (cause) {
    const message =
      "The Redis broker needs the package '@redis/client': add it with npm install @redis/client.";
    throw new HeraldError("UNSUPPORTED", message, { cause, details: { package: "@redis/client" } });
  }
}

/** How to connect under these settings: to one server, to the master that sentinels name, or to a cluster. */
export function connector(redis: Package, settings: RedisSettings): Connect {
  const { cluster, sentinel } = settings;
  if (cluster !== undefined) return (onLost) => connectCluster(redis, settings, cluster.nodes, onLost);
  if (sentinel === undefined) return (onLost) => connectOne(redis, settings, undefined, onLost);
  return async (onLost) => {
    const master = await findMaster(redis, settings, sentinel);
    const client = await connectOne(redis, settings, master, onLost);
    // A sentinel may not know yet that its master was replaced.
    const role = (await client.send("", ["ROLE"])) as readonly unknown[];
    if (role[0] === "master") return client;
    client.destroy();
    throw new HeraldError("NOT_CONNECTED", `${master.host}:${master.port} is no master any more.`);
  };
}

function socketOf(settings: RedisSettings, address: RedisAddress | undefined) {
  const { insecure, ...tls } = settings.tls ?? {};
  const secure = settings.url.startsWith("rediss:") || settings.tls !== undefined;
  return {
    ...(address === undefined ? {} : { host: address.host, port: address.port }),
    connectTimeout: settings.connectTimeoutMs,
    // A link makes a new client instead: nothing is ever sent a second time.
    reconnectStrategy: false as const,
    ...(secure ? { tls: true as const, rejectUnauthorized: insecure !== true, ...bytesOf(tls) } : {}),
  };
}

function bytesOf(
  tls: Readonly<Record<string, string | Uint8Array | undefined>>,
): Record<string, string | Buffer> {
  const entries = Object.entries(tls).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, typeof value === "string" ? value : Buffer.from(value)] as const],
  );
  return Object.fromEntries(entries);
}

function credentialsOf(url: string): { username?: string; password?: string } {
  const { username, password } = new URL(url);
  return {
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
  };
}

async function connectOne(
  redis: Package,
  settings: RedisSettings,
  address: RedisAddress | undefined,
  onLost: (cause: unknown) => void,
): Promise<RawClient> {
  const client = redis.createClient({
    RESP,
    ...(address === undefined ? { url: settings.url } : credentialsOf(settings.url)),
    socket: socketOf(settings, address) as NonNullable<Parameters<Package["createClient"]>[0]>["socket"] &
      object,
    disableOfflineQueue: true,
    maintNotifications: "disabled",
  });
  client.on("error", onLost);
  await client.connect();
  const send = (_key: string, args: readonly string[]): Promise<unknown> => client.sendCommand(args);
  return {
    send,
    async ping() {
      await send("", ["PING"]);
    },
    subscribe: (channel, listener) =>
      isGlob(channel) ? client.pSubscribe(channel, listener) : client.subscribe(channel, listener),
    unsubscribe: (channel) => (isGlob(channel) ? client.pUnsubscribe(channel) : client.unsubscribe(channel)),
    destroy: () => client.destroy(),
  };
}

function isGlob(channel: string): boolean {
  return channel.includes("*");
}

async function findMaster(
  redis: Package,
  settings: RedisSettings,
  sentinel: NonNullable<RedisSettings["sentinel"]>,
): Promise<RedisAddress> {
  let cause: unknown;
  for (const { host, port } of sentinel.nodes) {
    const client = redis.createClient({
      RESP,
      socket: { host, port, connectTimeout: settings.connectTimeoutMs, reconnectStrategy: false },
    });
    client.on("error", (error: unknown) => (cause = error));
    try {
      await client.connect();
      const found = await client.sendCommand<unknown>(["SENTINEL", "get-master-addr-by-name", sentinel.name]);
      if (Array.isArray(found)) return { host: String(found[0]), port: Number(found[1]) };
    } catch (error) {
      cause = error;
    } finally {
      client.destroy();
    }
  }
  throw new HeraldError("NOT_CONNECTED", `No sentinel knows a master named '${sentinel.name}'.`, { cause });
}

async function connectCluster(
  redis: Package,
  settings: RedisSettings,
  nodes: readonly RedisAddress[],
  onLost: (cause: unknown) => void,
): Promise<RawClient> {
  const pause = (retries: number): number =>
    Math.random() * Math.min(settings.maxReconnectMs, 50 * 2 ** Math.min(retries, 20));
  const cluster = redis.createCluster({
    RESP,
    rootNodes: nodes.map(({ host, port }) => ({ socket: { host, port } })),
    defaults: {
      ...credentialsOf(settings.url),
      socket: { ...socketOf(settings, undefined), reconnectStrategy: pause },
      disableOfflineQueue: true,
      maintNotifications: "disabled",
    },
  });
  // Single nodes come back by themselves; a cluster that answers no more is given up by the link's watch.
  cluster.on("error", () => {});
  cluster.on("disconnect", () => onLost(new HeraldError("NOT_CONNECTED", "The cluster is gone.")));
  await cluster.connect();
  return {
    send: (key, args) => cluster.sendCommand(key === "" ? undefined : key, false, args as string[]),
    async ping() {
      await Promise.all(cluster.masters.map(async ({ client }) => client?.sendCommand(["PING"])));
    },
    subscribe: (channel, listener) =>
      isGlob(channel) ? cluster.pSubscribe(channel, listener) : cluster.subscribe(channel, listener),
    unsubscribe: (channel) =>
      isGlob(channel) ? cluster.pUnsubscribe(channel) : cluster.unsubscribe(channel),
    destroy: () => cluster.destroy(),
  };
}
