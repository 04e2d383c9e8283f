import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ServerControl } from "../../../src/testing/conformance/harness.ts";
import type { TestHost } from "./hosts.ts";
import { ServerProcess, type ServerPlan } from "./server-process.ts";

/** What every server for tests can be asked for. */
export interface ServerOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** Where its data lies; absent: a folder of its own that goes with it. */
  readonly folder?: string;
  /** True: it outlives this process. Default false. */
  readonly detached?: boolean;
  /** Where it runs. Default: on this machine itself, on loopback. */
  readonly host?: TestHost;
}

/** A server that belongs to whoever started it. */
export interface ServerHandle extends ServerControl, AsyncDisposable {
  /** How a program connects. */
  readonly url: string;
  readonly port: number;
  /** Where its data and its log lie. */
  readonly folder: string;
  /** While it runs. */
  readonly pid: number | undefined;
  /** Ends it and removes the folder that was made for it. */
  stop(): Promise<void>;
}

/** Where a server is reached by its clients. */
export function clientHost({ host }: ServerOptions): string {
  return host?.addresses.front ?? "127.0.0.1";
}

/** The folder that was asked for, or a new one. */
export function folderOf({ folder }: ServerOptions, name: string): string {
  return folder ?? mkdtempSync(path.join(tmpdir(), `herald-${name}-`));
}

/** Starts a server; resolves when it answers. One that does not leaves nothing behind. */
export async function startServer(
  plan: ServerPlan,
  options: ServerOptions & { readonly url: string; readonly after?: () => Promise<void> },
): Promise<ServerHandle> {
  const { port, folder } = plan;
  const server = new ServerProcess({ ...plan, ...options.host?.inside(plan.binary, plan.args) });
  const stop = async () => {
    await server.kill();
    await options.after?.();
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  try {
    await server.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: options.url,
    port,
    folder,
    address: { host: clientHost(options), port },
    get pid() {
      return server.pid;
    },
    kill: () => server.kill(),
    start: () => server.start(),
    pause: () => server.pause(),
    resume: async () => server.resume(),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Waits for servers that start together; when one does not, the others are stopped and this rejects. */
export async function allStarted<T extends ServerHandle>(
  starts: readonly Promise<T>[],
): Promise<{ readonly nodes: readonly T[]; stop(): Promise<void> }> {
  const results = await Promise.allSettled(starts);
  const nodes = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())));
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return { nodes, stop };
  await stop();
  throw failed.reason;
}
