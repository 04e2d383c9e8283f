import { SharedLinks, type Held } from "../shared/shared-links.ts";
import { connector, loadPackage } from "./client.ts";
import { Link } from "./link.ts";
import type { RabbitSettings } from "./options.ts";
import type { Links } from "./session.ts";

/** Connections to one RabbitMQ that several brokers of a process use. */
export type HeldLinks = Held<Links>;

const shared = new SharedLinks<Links>();

/** The connections to the RabbitMQ of these settings. */
export function acquireLinks(settings: RabbitSettings): Promise<HeldLinks> {
  const { url, tls, commandTimeoutMs, connectTimeoutMs, maxReconnectMs } = settings;
  return shared.acquire([url, tls, commandTimeoutMs, connectTimeoutMs, maxReconnectMs], async () => {
    const connect = connector(await loadPackage(), settings);
    return { publishing: new Link(connect, settings), consuming: new Link(connect, settings) };
  });
}
