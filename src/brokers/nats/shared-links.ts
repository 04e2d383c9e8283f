import { SharedLinks, type Held } from "../shared/shared-links.ts";
import { connector } from "./client.ts";
import { Link } from "./link.ts";
import type { NatsSettings } from "./options.ts";

/** The connection of a process to one NATS. */
export interface Links {
  readonly all: Link;
}

const shared = new SharedLinks<Links>();

/** The connection to the NATS of these settings. */
export function acquireLinks(settings: NatsSettings): Promise<Held<Links>> {
  const { url, servers, token, tls, commandTimeoutMs, connectTimeoutMs, maxReconnectMs } = settings;
  const name = [url, servers, token, tls, commandTimeoutMs, connectTimeoutMs, maxReconnectMs];
  return shared.acquire(name, async () => ({ all: new Link(await connector(settings), settings) }));
}
