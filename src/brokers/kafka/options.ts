import type { Durability } from "../../core/broker.ts";
import { systemClock, type Clock } from "../../core/clock.ts";
import { checkPattern } from "../../core/pattern.ts";
import { DURABILITY_CHOICES, OptionCheck, withoutPassword } from "../shared/option-check.ts";

/** A host and a port. */
export interface KafkaAddress {
  readonly host: string;
  readonly port: number;
}

/** TLS of a connection, in the words of `node:tls`. Certificates are verified unless `insecure` is set. */
export interface KafkaTlsOptions {
  readonly ca?: string | Uint8Array;
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  readonly servername?: string;
  /** True: any certificate is taken, also one of an attacker. Told as a `fault` event at every open. */
  readonly insecure?: boolean;
}

/** Who this process is to the brokers. */
export interface KafkaSaslOptions {
  readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
  readonly username: string;
  readonly password: string;
}

/** How batches are compressed. */
export type KafkaCompression = "none" | "gzip" | "snappy" | "lz4" | "zstd";

/** Options of the Kafka broker; all optional. */
export interface KafkaBrokerOptions {
  /**
   * `kafka://[user:password@]host:port[,host:port…][?namespace=name]`, or `kafkas:` for TLS. Credentials in it are SASL PLAIN.
   * Default `kafka://127.0.0.1:9092`.
   */
  readonly url?: string;
  readonly tls?: KafkaTlsOptions;
  readonly sasl?: KafkaSaslOptions;
  /** Brokers of one namespace share channels; it begins the name of every topic and group. `[A-Za-z0-9-]+`. Default `herald`. */
  readonly namespace?: string;
  readonly clock?: Clock;
  /** Partitions of a channel's topic, when it is made. Default 3. */
  readonly partitions?: number;
  /** Copies of every topic that is made. Default: what the cluster says (`default.replication.factor`). */
  readonly replication?: number;
  /** Channels that share one topic instead of having one each. `agent-*` and `agent.#` always do. */
  readonly shared?: readonly string[];
  /** Partitions of the topic that channels share, when it is made. Default 16. */
  readonly sharedPartitions?: number;
  /** Messages without a partition key: all of a channel in one order (default), or over all its partitions in none. */
  readonly keyless?: "ordered" | "spread";
  /** Default `none`. */
  readonly compression?: KafkaCompression;
  /** How long a channel's messages are kept, handled or not. Default 7 days. */
  readonly retentionMs?: number;
  /** How long an id is recognised when published again with `dedupe`. Default 120,000. */
  readonly dedupeWindowMs?: number;
  /** Default 10 MiB. */
  readonly maxBodyBytes?: number;
  /** A process that says nothing for this long is taken for dead, and others take over. Default 10,000. */
  readonly sessionTimeoutMs?: number;
  /** How often a process says that it lives. Default 1000. */
  readonly heartbeatMs?: number;
  /** A connection that answers nothing for this long is given up. Default 5000. */
  readonly requestTimeoutMs?: number;
  /** How long a connection may take to stand. Default 5000. */
  readonly connectTimeoutMs?: number;
  /** How long a publish is tried before it is refused, or reported as unknown. Default 10,000. */
  readonly publishTimeoutMs?: number;
  /** Longest pause between two attempts to connect. Default 1000. */
  readonly maxReconnectMs?: number;
  /** How many messages beyond those that are handed out a group may have read ahead. Default 1000. */
  readonly readAhead?: number;
  /** The least an acknowledged publish must survive. Default `process`. */
  readonly requireDurability?: Durability;
  /** A cluster that keeps less than `requireDurability`: `warn` (default) emits a `fault` event, `refuse` rejects open() with `UNSAFE_STORAGE`. */
  readonly onWeakDurability?: "warn" | "refuse";
}

/** Options with every default filled in. */
export type KafkaSettings = Required<Omit<KafkaBrokerOptions, "url" | "tls" | "sasl" | "replication">> &
  Pick<KafkaBrokerOptions, "tls" | "sasl" | "replication"> & { readonly nodes: readonly KafkaAddress[] };

const check = new OptionCheck("Kafka");
const NUMBERS = [
  "partitions",
  "sharedPartitions",
  "retentionMs",
  "dedupeWindowMs",
  "maxBodyBytes",
  "sessionTimeoutMs",
  "heartbeatMs",
  "requestTimeoutMs",
  "connectTimeoutMs",
  "publishTimeoutMs",
  "maxReconnectMs",
  "readAhead",
] as const;
const CHOICES = {
  keyless: ["ordered", "spread"],
  compression: ["none", "gzip", "snappy", "lz4", "zstd"],
  ...DURABILITY_CHOICES,
} as const;
const ALWAYS_SHARED = ["agent-*", "agent.#"];
const DEFAULT_PORT = 9092;
const MAX_NAMESPACE = 100;
const WEEK_MS = 7 * 24 * 3_600_000;

/** Checks the options and fills in the defaults. Rejects with `INVALID_ARGUMENT` naming the field. */
export function kafkaSettings(options: KafkaBrokerOptions): KafkaSettings {
  const { url, ...rest } = options;
  const address = addressOf(url ?? `kafka://127.0.0.1:${DEFAULT_PORT}`);
  const settings: KafkaSettings = {
    namespace: address.namespace ?? "herald",
    clock: systemClock,
    partitions: 3,
    sharedPartitions: 16,
    keyless: "ordered",
    compression: "none",
    retentionMs: WEEK_MS,
    dedupeWindowMs: 120_000,
    maxBodyBytes: 10 * 1024 * 1024,
    sessionTimeoutMs: 10_000,
    heartbeatMs: 1000,
    requestTimeoutMs: 5000,
    connectTimeoutMs: 5000,
    publishTimeoutMs: 10_000,
    maxReconnectMs: 1000,
    readAhead: 1000,
    requireDurability: "process",
    onWeakDurability: "warn",
    ...(address.sasl === undefined ? {} : { sasl: address.sasl }),
    ...(address.secure ? { tls: {} } : {}),
    ...rest,
    nodes: address.nodes,
    shared: [...ALWAYS_SHARED, ...(options.shared ?? [])],
  };
  check.aboveZero(settings, NUMBERS);
  check.oneOf(settings, CHOICES);
  if (!/^[A-Za-z0-9-]+$/.test(settings.namespace) || settings.namespace.length > MAX_NAMESPACE)
    throw check.wrong("namespace", `at most ${MAX_NAMESPACE} letters, digits and '-'`, settings.namespace);
  for (const pattern of settings.shared) checkPattern(pattern);
  return settings;
}

interface Named {
  readonly nodes: readonly KafkaAddress[];
  readonly namespace: string | undefined;
  readonly secure: boolean;
  readonly sasl: KafkaSaslOptions | undefined;
}

const FORM = /^kafka(s?):\/\/(?:([^:@/]*):([^@/]*)@)?([^/?@]+)\/?(?:\?(.*))?$/;

/** What a URL says. Its password is never shown. */
function addressOf(text: string): Named {
  const shown = withoutPassword(text);
  const found = FORM.exec(text);
  if (found === null) throw check.wrong("url", "kafka://host:port,host:port", shown);
  const [, secure, username, password, hosts = "", query] = found;
  const nodes = hosts.split(",").map((host) => nodeOf(host) ?? fail(shown));
  return {
    nodes,
    namespace: new URLSearchParams(query ?? "").get("namespace") ?? undefined,
    secure: secure === "s",
    sasl:
      username === undefined
        ? undefined
        : {
            mechanism: "PLAIN",
            username: decodeURIComponent(username),
            password: decodeURIComponent(password ?? ""),
          },
  };
}

function fail(shown: string): never {
  throw check.wrong("url", "kafka://host:port,host:port", shown);
}

function nodeOf(text: string): KafkaAddress | undefined {
  const found = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text);
  if (found === null) return undefined;
  const port = Number(found[2] ?? DEFAULT_PORT);
  if (port < 1 || port > 65_535) return undefined;
  return { host: (found[1] as string).replace(/^\[|\]$/g, ""), port };
}
