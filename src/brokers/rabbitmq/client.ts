import type { Writable } from "node:stream";
import type { ChannelModel, Options } from "amqplib";
import { HeraldError } from "../../core/errors.ts";
import type { RabbitSettings } from "./options.ts";

type Package = typeof import("amqplib");

/** Makes one connection. It is used once and never reconnects. */
export type Connect = () => Promise<ChannelModel>;

/** Loads the client package. Rejects with `UNSUPPORTED` naming it when it is not installed. */
export async function loadPackage(): Promise<Package> {
  try {
    return await import("amqplib");
  } catch (cause) {
    const message = "The RabbitMQ broker needs the package 'amqplib': add it with npm install amqplib.";
    throw new HeraldError("UNSUPPORTED", message, { cause, details: { package: "amqplib" } });
  }
}

/** How to connect under these settings. */
export function connector(amqp: Package, settings: RabbitSettings): Connect {
  const { protocol, hostname, port, username, password, pathname } = new URL(settings.url);
  const secure = protocol === "amqps:";
  const vhost = decodeURIComponent(pathname.replace(/^\//, ""));
  const options: Options.Connect = {
    protocol: secure ? "amqps" : "amqp",
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (secure ? 5671 : 5672) : Number(port),
    vhost: vhost === "" ? "/" : encodeURIComponent(vhost),
    // The server gives up a client that is silent for two of these, and hands its messages to others.
    heartbeat: Math.max(1, Math.ceil(settings.commandTimeoutMs / 1000)),
    frameMax: 131_072,
    ...(username === "" && password === ""
      ? {}
      : { username: decodeURIComponent(username), password: decodeURIComponent(password) }),
  };
  const { insecure, ...tls } = settings.tls ?? {};
  const socket = {
    ...tls,
    ...(insecure === true ? { rejectUnauthorized: false } : {}),
    noDelay: true,
    timeout: settings.connectTimeoutMs,
    clientProperties: { connection_name: `herald ${settings.namespace}` },
  };
  return async () => {
    const model = await amqp.connect(options, socket);
    gatherWrites(socketOf(model));
    return model;
  };
}

/** What the client writes in one turn of the event loop goes to the system in one call, not in one for each message. */
function gatherWrites(socket: Writable): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  const uncork = (): void => socket.uncork();
  socket.write = (...args: unknown[]) => {
    if (socket.writableCorked === 0) {
      socket.cork();
      process.nextTick(uncork);
    }
    return write(...args);
  };
}

/** Ends a connection at once. */
export function destroy(model: ChannelModel): void {
  // Closing politely waits for an answer, which a half-open connection never gives.
  socketOf(model).destroy();
}

function socketOf(model: ChannelModel): Writable {
  const { stream } = model.connection as unknown as { readonly stream: Writable };
  return stream;
}
