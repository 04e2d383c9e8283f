import { isIP } from "node:net";
import { HeraldError } from "../../core/errors.ts";
import type { KafkaSettings } from "./options.ts";

/** The client package. */
export type Package = typeof import("@platformatic/kafka");
/** One connection to one node; it is used once and never reconnects. */
export type RawConnection = import("@platformatic/kafka").Connection;

/** A request of the protocol, with its arguments and what it is answered with. */
export interface Api<A extends unknown[], R> {
  readonly async: (connection: RawConnection, ...args: A) => Promise<R>;
}

/** Loads the client package. Rejects with `UNSUPPORTED` naming it when it is not installed. */
export async function loadPackage(): Promise<Package> {
  try {
    return await import("@platformatic/kafka");
  } catch (cause) {
    const message =
      "The Kafka broker needs the package '@platformatic/kafka': add it with npm install @platformatic/kafka.";
    throw new HeraldError("UNSUPPORTED", message, { cause, details: { package: "@platformatic/kafka" } });
  }
}

/** A connection under these settings, not connected yet. */
export function createConnection(
  kafka: Package,
  settings: KafkaSettings,
  {
    host,
    requestTimeoutMs,
    name,
  }: { readonly host: string; readonly requestTimeoutMs: number; readonly name: string },
): RawConnection {
  const { tls, sasl } = settings;
  return new kafka.Connection("herald", {
    connectTimeout: settings.connectTimeoutMs,
    requestTimeout: requestTimeoutMs,
    context: name,
    // Requests are written in the turn in which they are made: what is written survives the death of the process.
    maxInflights: 10_000,
    ...(tls === undefined ? {} : { tls: tlsOf(tls), tlsServerName: tls.servername ?? isIP(host) === 0 }),
    ...(sasl === undefined ? {} : { sasl: { ...sasl } }),
  });
}

function tlsOf({ insecure, servername: _servername, ...rest }: NonNullable<KafkaSettings["tls"]>) {
  const entries = Object.entries(rest).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, typeof value === "string" ? value : Buffer.from(value)] as const],
  );
  return { rejectUnauthorized: insecure !== true, ...Object.fromEntries(entries) };
}
