import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { exchange } from "./exchange.ts";
import { folderOf, startServer, type ServerHandle, type ServerOptions } from "./handle.ts";
import { rabbitmqHome, type RabbitHome } from "./rabbitmq-home.ts";
import { freePorts, ServerProcess } from "./server-process.ts";

/** How a RabbitMQ for tests is set up. */
export interface RabbitOptions extends ServerOptions {
  /** More lines of its `rabbitmq.conf`, by key. */
  readonly config?: Readonly<Record<string, string>>;
  /** True: with the management plugin, on a port of its own. Default false. */
  readonly management?: boolean;
}

/** A RabbitMQ, `amqp://guest:guest@127.0.0.1:port`. */
export interface TestRabbit extends ServerHandle {
  /** Where the management plugin answers, if it was asked for. */
  readonly managementUrl: string | undefined;
  /** Its port mapper, which outlives a kill. */
  readonly epmd: { readonly pid: number };
  /**
   * Resolves when a kill spares every quorum queue. For about a second after one was declared, its name is on no disk: a
   * RabbitMQ (4.0) that is killed then still knows the queue, and never serves it or what it confirmed.
   */
  settled(): Promise<void>;
  /** Carries out a call in the server, in the words of Erlang: `rabbit:stop()`. */
  evaluate(call: string): Promise<void>;
}

const NODE = "herald@localhost";
const SETTLED_WITHIN_MS = 10_000;
const CALLED_WITHIN_MS = 30_000;

interface Place {
  readonly home: RabbitHome;
  readonly folder: string;
  readonly port: number;
  readonly managementPort: number;
  readonly distributionPort: number;
  readonly epmdPort: number;
  readonly options: RabbitOptions;
}

/**
 * Starts a RabbitMQ on ports, with a node name and in a folder of its own; resolves when it answers. It dies with this
 * process unless it is detached. Rejects with the reason where there is none to start.
 */
export async function startRabbit(options: RabbitOptions = {}): Promise<TestRabbit> {
  const home = rabbitmqHome();
  if (home.why !== undefined) throw new Error(`RabbitMQ cannot be started: ${home.why}.`);
  const folder = folderOf(options, "rabbitmq");
  const [free, managementPort, distributionPort, epmdPort] = (await freePorts(4)) as Four;
  const port = options.port ?? free;
  const place = { home, folder, port, managementPort, distributionPort, epmdPort, options };
  const env = settled(place);
  const epmd = portMapper(place, env);
  await epmd.start();
  const detached = options.detached ?? false;
  const handle = await startServer(
    { binary: home.server, args: [], env, port, folder, detached, answers: () => greets(port) },
    { ...options, url: `amqp://guest:guest@127.0.0.1:${port}`, after: () => epmd.kill() },
  );
  return Object.assign(handle, {
    managementUrl: options.management === true ? `http://127.0.0.1:${managementPort}` : undefined,
    epmd: { pid: epmd.pid as number },
    evaluate: async (call: string) => {
      // As another node with the same cookie, which is how rabbitmqctl does it.
      const code = `erpc:call('${NODE}', fun () -> ${call} end), halt().`;
      const args = ["-noinput", "-sname", `operator${process.pid}@localhost`, "-eval", code];
      await promisify(execFile)("erl", args, { env: { ...process.env, ...env }, timeout: CALLED_WITHIN_MS });
    },
    settled: () => haveNames(path.join(folder, "data", NODE, "quorum", NODE)),
  });
}

type Four = readonly [number, number, number, number];

/** Writes its configuration; the result is the environment that its script reads. */
function settled({ home, folder, port, managementPort, distributionPort, epmdPort, options }: Place) {
  const at = (name: string) => path.join(folder, name);
  const config: Record<string, string> = {
    "listeners.tcp.1": `127.0.0.1:${port}`,
    "vm_memory_high_watermark.absolute": "1GB",
    "disk_free_limit.absolute": "50MB",
    "management.tcp.ip": "127.0.0.1",
    "management.tcp.port": String(managementPort),
    ...options.config,
  };
  const isManaged = options.management === true;
  const lines = Object.entries(config).filter(([key]) => isManaged || !key.startsWith("management."));
  writeFileSync(at("rabbitmq.conf"), lines.map(([key, value]) => `${key} = ${value}\n`).join(""));
  writeFileSync(at("enabled_plugins"), isManaged ? "[rabbitmq_management].\n" : "[].\n");
  return {
    PATH: [home.path, process.env["PATH"]].filter(Boolean).join(path.delimiter),
    // The cookie is made there.
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_NODENAME: NODE,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_CONF_ENV_FILE: at("none"),
    RABBITMQ_CONFIG_FILE: at("rabbitmq.conf"),
    RABBITMQ_ENABLED_PLUGINS_FILE: at("enabled_plugins"),
    RABBITMQ_MNESIA_BASE: at("data"),
    RABBITMQ_LOG_BASE: at("log"),
    RABBITMQ_LOGS: "-",
    // So the script becomes the server: what is killed and paused is the server itself, not a shell beside it.
    RABBITMQ_ALLOW_INPUT: "true",
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
  };
}

/** A port mapper of its own, in the foreground: the one that Erlang starts by itself would be shared, and stay. */
function portMapper({ folder, epmdPort: port, options }: Place, env: Readonly<Record<string, string>>) {
  const answers = () =>
    exchange(port, Buffer.of(0, 1, 0x6e), (received) => received.length >= 4 || undefined);
  const detached = options.detached ?? false;
  return new ServerProcess({ binary: "epmd", args: [], env, port, folder, detached, answers });
}

/** Resolves when a RabbitMQ offers to open a connection: `Connection.Start`, method 10 of class 10. */
function greets(port: number): Promise<true> {
  return exchange(port, Buffer.from("AMQP\0\0\x09\x01", "latin1"), (received) => {
    if (received.length < 11) return undefined;
    if (received[0] === 1 && received.readUInt32BE(7) === 0x000a_000a) return true;
    throw new Error(`Port ${port} does not speak AMQP 0-9-1.`);
  });
}

/** Each quorum queue has a folder, whose name stands in a file beside it when it will be found again. */
async function haveNames(folder: string): Promise<void> {
  const endsAt = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const entries = readdirSync(folder, { withFileTypes: true });
    const queues = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const names = readFileSync(path.join(folder, "names.dets"), "latin1");
    if (queues.every((name) => names.includes(name))) return;
    if (performance.now() > endsAt) throw new Error("RabbitMQ did not write down the names of its queues.");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
