import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { folderOf, startServer, type ServerHandle, type ServerOptions } from "./handle.ts";
import { redisBinary } from "./redis-binary.ts";
import { ask, type Reply } from "./resp.ts";
import { freePorts } from "./server-process.ts";

/** How a Redis for tests is set up. */
export interface RedisOptions extends ServerOptions {
  /** Default true: what it acknowledged survives. */
  readonly appendonly?: boolean;
  /** Default `always`. */
  readonly appendfsync?: "always" | "everysec" | "no";
  /** More directives of its configuration, by name. */
  readonly config?: Readonly<Record<string, string>>;
}

/** A Redis, `redis://127.0.0.1:port`. */
export interface TestServer extends ServerHandle {
  /** Asks one command over a connection of its own. */
  command(...command: readonly string[]): Promise<Reply>;
}

/**
 * Starts a redis-server on a port and in a folder of its own; resolves when it answers. It dies with this process unless
 * it is detached. Rejects with the reason where there is none to start: see `whenRedis`.
 */
export async function startRedis(options: RedisOptions = {}): Promise<TestServer> {
  const { path: binary, why } = redisBinary();
  if (binary === undefined) throw new Error(`Redis cannot be started: ${why}.`);
  const folder = folderOf(options, "redis");
  const port = options.port ?? ((await freePorts(1))[0] as number);
  const args = argsOf(options, port, folder);
  const handle = await startServer(
    {
      binary,
      args,
      port,
      folder,
      detached: options.detached ?? false,
      answers: () => pings(port),
      before: () => mend(folder),
    },
    { ...options, url: `redis://127.0.0.1:${port}` },
  );
  return Object.assign(handle, { command: (...command: readonly string[]) => ask(port, ...command) });
}

/**
 * Cuts off a transaction that a kill left half written in the log, as somebody who runs a server does before it starts. The
 * server itself cuts off only what it cannot read, so that what was written of the transaction comes to life, out of order, with the
 * start after the next (fixed in Valkey by pull request 4342).
 */
function mend(folder: string): void {
  const manifest = path.join(folder, "appendonlydir", "appendonly.aof.manifest");
  if (existsSync(manifest)) spawnSync("redis-check-aof", ["--fix", manifest], { input: "y\n" });
}

/** Resolves when a Redis or a Sentinel answers. One that asks for a password does. */
export async function pings(port: number): Promise<void> {
  try {
    await ask(port, "PING");
  } catch (error) {
    if (!(error as Error).message.startsWith("NOAUTH")) throw error;
  }
}

function argsOf(options: RedisOptions, port: number, folder: string): string[] {
  const directives: Record<string, string> = {
    port: String(port),
    bind: "127.0.0.1",
    dir: folder,
    save: "",
    appendonly: (options.appendonly ?? true) ? "yes" : "no",
    appendfsync: options.appendfsync ?? "always",
    ...options.config,
  };
  return Object.entries(directives).flatMap(([name, value]) => [`--${name}`, value]);
}
