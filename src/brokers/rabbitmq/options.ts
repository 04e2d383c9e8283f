import { systemClock, type Clock } from "../../core/clock.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { OptionCheck } from "../shared/option-check.ts";

/** TLS of a connection, in the words of `node:tls`. Certificates are verified unless `insecure` is set. */
export interface RabbitTlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** True: any certificate is taken, also one of an attacker. Told as a `fault` event at every open. */
  readonly insecure?: boolean;
}

/** Options of the RabbitMQ broker; all optional. */
export interface RabbitBrokerOptions {
  /** `amqp://[user[:password]@]host[:port][/vhost][?namespace=name]`, or `amqps:`. Default `amqp://127.0.0.1:5672`. */
  readonly url?: string;
  readonly tls?: RabbitTlsOptions;
  /** Brokers of one namespace share channels: every exchange and queue begins with it. `[A-Za-z0-9_-]+`. Default `herald`. */
  readonly namespace?: string;
  readonly clock?: Clock;
  /** Default 1 MiB. The server has a limit of its own, `max_message_size`. */
  readonly maxBodyBytes?: number;
  /** A publish or a request that is not answered for this long is given up. Default 5000. */
  readonly commandTimeoutMs?: number;
  /** How long a connection may take to stand. Default 5000. */
  readonly connectTimeoutMs?: number;
  /** Longest pause between two attempts to connect; the pause is random below a bound that doubles up to this. Default 1000. */
  readonly maxReconnectMs?: number;
  /** How long the queue of a broadcast subscription is kept while its process is cut off. Default 300,000. */
  readonly listenerExpiryMs?: number;
}

/** Options with every default filled in. */
export type RabbitSettings = Required<Omit<RabbitBrokerOptions, "tls">> & Pick<RabbitBrokerOptions, "tls">;

const check = new OptionCheck("RabbitMQ");
const NUMBERS = [
  "maxBodyBytes",
  "commandTimeoutMs",
  "connectTimeoutMs",
  "maxReconnectMs",
  "listenerExpiryMs",
] as const;
/** A name of a queue has at most 255 bytes, and a channel up to 200 of them. */
const MAX_NAMESPACE = 40;

/** Checks the options and fills in the defaults. Throws `INVALID_ARGUMENT` naming the field. */
export function rabbitSettings(options: RabbitBrokerOptions): RabbitSettings {
  const { url, namespace } = check.address(options.url ?? "amqp://127.0.0.1:5672", ["amqp", "amqps"]);
  const settings: RabbitSettings = {
    namespace: namespace ?? "herald",
    clock: systemClock,
    maxBodyBytes: DEFAULT_LIMITS.maxMessageBytes,
    commandTimeoutMs: 5000,
    connectTimeoutMs: 5000,
    maxReconnectMs: 1000,
    listenerExpiryMs: 300_000,
    ...options,
    url,
  };
  check.aboveZero(settings, NUMBERS);
  if (!/^[A-Za-z0-9_-]+$/.test(settings.namespace) || settings.namespace.length > MAX_NAMESPACE)
    throw check.wrong("namespace", `up to ${MAX_NAMESPACE} letters, digits, '_' and '-'`, settings.namespace);
  return settings;
}
