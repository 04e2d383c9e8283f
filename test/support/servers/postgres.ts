import { chownSync, mkdirSync } from "node:fs";
import path from "node:path";
import { Client } from "pg";
import { outputOf } from "./found.ts";
import { folderOf, startServer, type ServerHandle, type ServerOptions } from "./handle.ts";
import { postgresHome } from "./postgres-home.ts";
import { freePorts } from "./server-process.ts";

const NOBODY = 65_534;
const ENDS_WITHIN_MS = 5000;

/**
 * Starts a PostgreSQL on a port and in a folder of its own, with a database `postgres` that everybody on loopback may use;
 * resolves when it answers. It dies with this process unless it is detached. Rejects with the reason where there is none.
 */
export async function startPostgres(options: ServerOptions = {}): Promise<ServerHandle> {
  const { path: home, why } = postgresHome();
  if (home === undefined) throw new Error(`PostgreSQL cannot be started: ${why}.`);
  const folder = folderOf(options, "postgres");
  const port = options.port ?? ((await freePorts(1))[0] as number);
  const url = `postgresql://herald@127.0.0.1:${port}/postgres`;
  const data = madeData(home, folder);
  // Its sockets lie with its data, and nothing of it outlives a kill.
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: data,
    dynamic_shared_memory_type: "mmap",
    fsync: "off",
  };
  const given = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const [binary, ...args] = asAnybody(path.join(home, "postgres"), [
    "-D",
    data,
    "-p",
    String(port),
    ...given,
  ]);
  const handle = await startServer(
    { binary, args, port, folder, detached: options.detached ?? false, answers: () => answers(url) },
    { ...options, url },
  );
  const { stop } = handle;
  return Object.assign(handle, { stop: () => ended(handle).then(stop), [Symbol.asyncDispose]: stop });
}

function madeData(home: string, folder: string): string {
  const data = path.join(folder, "data");
  mkdirSync(data, { mode: 0o700 });
  if (process.getuid?.() === 0) {
    chownSync(folder, NOBODY, NOBODY);
    chownSync(data, NOBODY, NOBODY);
  }
  const how = ["--no-sync", "--auth=trust", "--username=herald", "--encoding=UTF8", "--locale=C"];
  const [program, ...args] = asAnybody(path.join(home, "initdb"), ["-D", data, ...how]);
  outputOf(program, args, { cwd: folder });
  return data;
}

/** It refuses to run as root. */
function asAnybody(program: string, args: readonly string[]): readonly [string, ...string[]] {
  if (process.getuid?.() !== 0) return [program, ...args];
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  return ["setpriv", ...user, program, ...args];
}

async function answers(url: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 1000 });
  client.on("error", () => undefined);
  await client.connect();
  await client.query("SELECT 1");
  await client.end();
}

/** Lets its processes end with it: one that is killed leaves them, and a piece of shared memory, for a moment. */
async function ended(handle: ServerHandle): Promise<void> {
  const endsAt = performance.now() + ENDS_WITHIN_MS;
  if (handle.pid !== undefined) process.kill(handle.pid, "SIGINT");
  while (handle.pid !== undefined && performance.now() < endsAt)
    await new Promise((resolve) => setTimeout(resolve, 10));
}
