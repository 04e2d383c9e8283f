import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Address } from "../../../src/testing/conformance/harness.ts";
import { exchange } from "./exchange.ts";
import { clientHost, folderOf, startServer, type ServerHandle, type ServerOptions } from "./handle.ts";
import { natsBinary } from "./nats-binary.ts";
import { freePorts } from "./server-process.ts";

/** How a NATS server for tests is set up. */
export interface NatsOptions extends ServerOptions {
  /** When JetStream has what it acknowledged on the disk: `always`, or an interval as `10s`. Default: the server's own. */
  readonly syncInterval?: string;
  /** Default: the server's own, 1 MiB. */
  readonly maxPayloadBytes?: number;
  /** Default `herald`. */
  readonly serverName?: string;
  /** More of its configuration, as the text that stands in the file behind each name. */
  readonly config?: Readonly<Record<string, string>>;
}

/** A NATS server with JetStream, `nats://127.0.0.1:port`. */
export type TestNats = ServerHandle;

/**
 * Starts a nats-server with JetStream on a port and in a folder of its own; resolves when JetStream answers. It dies with
 * this process unless it is detached. Rejects with the reason where there is none to start.
 */
export async function startNats(options: NatsOptions = {}): Promise<TestNats> {
  const { path: binary, why } = natsBinary();
  if (binary === undefined) throw new Error(`NATS cannot be started: ${why}.`);
  const folder = folderOf(options, "nats");
  const port = options.port ?? ((await freePorts(1))[0] as number);
  const file = path.join(folder, "nats.conf");
  writeFileSync(file, configOf(options, port, folder));
  return startServer(
    {
      binary,
      args: ["--config", file],
      port,
      folder,
      detached: options.detached ?? false,
      answers: () => hasJetStream({ host: clientHost(options), port }),
    },
    { ...options, url: `nats://${clientHost(options)}:${port}` },
  );
}

function configOf(options: NatsOptions, port: number, folder: string): string {
  const { syncInterval, maxPayloadBytes, serverName = "herald" } = options;
  const sync = syncInterval === undefined ? "" : `, sync_interval: ${syncInterval}`;
  const lines: Record<string, string> = {
    server_name: serverName,
    host: clientHost(options),
    port: String(port),
    jetstream: `{ store_dir: ${JSON.stringify(folder)}${sync} }`,
    ...(maxPayloadBytes === undefined ? {} : { max_payload: String(maxPayloadBytes) }),
    ...options.config,
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("");
}

const ASK = `CONNECT {"verbose":false,"headers":true,"no_responders":true,"protocol":1}\r
SUB herald.ready 1\r
PUB $JS.API.INFO herald.ready 0\r
\r
`;

/** Resolves when JetStream tells of itself. A cluster without a leader does not. */
function hasJetStream(at: Address): Promise<true> {
  return exchange(
    at,
    ASK,
    (received) => {
      const text = received.toString("latin1");
      if (!/^(H?MSG) [^\n]*\n[^]*\r\n$/m.test(text)) return undefined;
      if (text.includes("io.nats.jetstream.api.v1.account_info_response") && !text.includes('"error"'))
        return true;
      throw new Error("JetStream does not answer");
    },
    2000,
  );
}
