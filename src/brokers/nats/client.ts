import type { NatsConnection, PublishOptions } from "@nats-io/transport-node";
import { HeraldError } from "../../core/errors.ts";
import { CutOff } from "./errors.ts";
import type { NatsSettings } from "./options.ts";

type Package = typeof import("@nats-io/transport-node");

/** Headers of a message as it comes; `code` and `description` are the server's own word. */
export interface IncomingHeaders extends Iterable<[name: string, values: string[]]> {
  readonly code: number;
  readonly description: string;
  /** The first value; empty when there is none. */
  get(name: string): string;
}

/** A message as it comes. */
export interface Incoming {
  readonly subject: string;
  readonly reply: string;
  readonly data: Uint8Array;
  readonly headers: IncomingHeaders | undefined;
}

/** One connection, as the client package gives it. It is used once and never reconnects. */
export interface RawClient {
  readonly inboxPrefix: string;
  /** Another one after the server was started again. */
  readonly serverId: string;
  /** Most bytes of headers and body together. */
  readonly maxPayloadBytes: number;
  /** Writes; nothing tells whether it arrived. Throws when the client does not take it. */
  publish(
    subject: string,
    body: Uint8Array | string,
    options?: { readonly reply?: string; readonly headers?: Encoded },
  ): void;
  /** Resolves when the server has answered. */
  ping(): Promise<void>;
  subscribe(subject: string, listener: (message: Incoming) => void): { unsubscribe(): void };
  /** Ends it at once. */
  destroy(): void;
}

/** Headers that are bytes already, in the form of the protocol. */
export interface Encoded {
  encode(): Uint8Array;
}

/** Makes a client that is connected; `onLost` is called once when it is of no use any more. */
export type Connect = (onLost: (cause: unknown) => void) => Promise<RawClient>;

/** How to connect under these settings. Rejects with `UNSUPPORTED` naming the client package when it is not installed. */
export async function connector(settings: NatsSettings): Promise<Connect> {
  return connectorOf(await loadPackage(), settings);
}

async function loadPackage(): Promise<Package> {
  try {
    return await import("@nats-io/transport-node");
  } catch (cause) {
    const message =
      "The NATS broker needs the package '@nats-io/transport-node': add it with npm install @nats-io/transport-node.";
    throw new HeraldError("UNSUPPORTED", message, { cause, details: { package: "@nats-io/transport-node" } });
  }
}

function connectorOf(nats: Package, settings: NatsSettings): Connect {
  const { hostname, port, username, password, protocol } = new URL(settings.url);
  const { tls, token } = settings;
  const secure = protocol === "tls:" || tls !== undefined;
  const first = `${hostname}:${port === "" ? "4222" : port}`;
  return async (onLost) => {
    const connection = await nats.connect({
      servers: [first, ...(settings.servers ?? [])],
      name: "herald",
      // A link makes a new client instead: nothing that was cut off is ever sent a second time.
      reconnect: false,
      timeout: settings.connectTimeoutMs,
      noEcho: false,
      ...(username === "" ? {} : { user: decodeURIComponent(username) }),
      ...(password === "" ? {} : { pass: decodeURIComponent(password) }),
      ...(token === undefined ? {} : { token }),
      ...(secure ? { tls: tlsOf(settings) } : {}),
    });
    void connection.closed().then(onLost, onLost);
    return rawClient(connection);
  };
}

function tlsOf({ tls, url }: NatsSettings): object {
  const { insecure, ...rest } = tls ?? {};
  // The client names a server that has a name; of one that has only an address, Node would ask for "localhost".
  return {
    host: new URL(url).hostname,
    ...rest,
    ...(insecure === true ? { rejectUnauthorized: false } : {}),
  };
}

function rawClient(connection: NatsConnection): RawClient {
  // The client forgets who waits for a PONG when the connection ends.
  const waiting = new Set<(cause: Error) => void>();
  const ended = (): void => {
    for (const reject of waiting) reject(new CutOff("the connection has ended"));
  };
  void connection.closed().then(ended, ended);
  return {
    inboxPrefix: "_INBOX",
    serverId: connection.info?.server_id ?? "",
    maxPayloadBytes: connection.info?.max_payload ?? 1024 * 1024,
    publish(subject, body, options) {
      // The client only ever asks headers for their bytes.
      connection.publish(subject, body, options as unknown as PublishOptions);
    },
    async ping() {
      if (connection.isClosed()) throw new CutOff("the connection has ended");
      const { promise, reject } = Promise.withResolvers<never>();
      waiting.add(reject);
      try {
        await Promise.race([connection.flush(), promise]);
      } finally {
        waiting.delete(reject);
      }
    },
    subscribe(subject, listener) {
      return connection.subscribe(subject, {
        callback: (error, { subject: from, reply = "", data, headers }) => {
          if (error === null) listener({ subject: from, reply, data, headers });
        },
      });
    },
    destroy() {
      connection.close().catch(() => {});
    },
  };
}
