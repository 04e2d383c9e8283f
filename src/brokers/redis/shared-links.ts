import { SharedLinks, type Held } from "../shared/shared-links.ts";
import { connector, loadPackage } from "./client.ts";
import { Link } from "./link.ts";
import type { RedisSettings } from "./options.ts";

/** The connections of a process to one Redis: one for commands, one that listens. */
export interface Links {
  readonly commands: Link;
  readonly listener: Link;
}

const shared = new SharedLinks<Links>();

/** The connections to the Redis of these settings. */
export function acquireLinks(settings: RedisSettings): Promise<Held<Links>> {
  const { url, sentinel, cluster, tls, commandTimeoutMs, connectTimeoutMs, maxReconnectMs } = settings;
  const name = [url, sentinel, cluster, tls, commandTimeoutMs, connectTimeoutMs, maxReconnectMs];
  return shared.acquire(name, async () => {
    const connect = connector(await loadPackage(), settings);
    return { commands: new Link(connect, settings), listener: new Link(connect, settings) };
  });
}
