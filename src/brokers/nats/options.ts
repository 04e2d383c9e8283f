import { systemClock, type Clock } from "../../core/clock.ts";
import type { Durability } from "../../core/broker.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { checkPattern } from "../../core/pattern.ts";
import { DURABILITY_CHOICES, OptionCheck } from "../shared/option-check.ts";

/** TLS of a connection, in the words of `node:tls`. Certificates are verified unless `insecure` is set. */
export interface NatsTlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** True: any certificate is taken, also one of an attacker. Told as a `fault` event at every open. */
  readonly insecure?: boolean;
}

/** Options of the NATS broker; all optional. */
export interface NatsBrokerOptions {
  /** `nats://[user[:password]@]host[:port][?namespace=name]`, or `tls:`. Default `nats://127.0.0.1:4222`. */
  readonly url?: string;
  /** More servers of the same cluster, as `host:port`. One of them is taken at random at every connect. */
  readonly servers?: readonly string[];
  /** A token instead of user and password. */
  readonly token?: string;
  readonly tls?: NatsTlsOptions;
  /** Brokers of one namespace share channels: the stream and the first token of every subject. `[A-Za-z0-9_-]+`. Default `herald`. */
  readonly namespace?: string;
  readonly clock?: Clock;
  /** How long a delivery is ours without being extended. Default 30,000. A consumer that exists keeps the lease that it was made with. */
  readonly leaseMs?: number;
  /** How long an id is recognised when published again with `dedupe`; holds for a stream that is made. Default 120,000. */
  readonly dedupeWindowMs?: number;
  /** How long what every group has acknowledged is kept for replay. Default 7 days. */
  readonly retentionMs?: number;
  /** Copies that the servers of a cluster keep, 1 to 5; holds for a stream that is made. Default 1. */
  readonly replicas?: number;
  /** Where a stream that is made keeps its messages. `memory` dies with the server. Default `file`. */
  readonly storage?: "file" | "memory";
  /** Default 1 MiB, or what the server's `max_payload` leaves beside the headers. */
  readonly maxBodyBytes?: number;
  /** A connection or a request that is not answered for this long is given up. Default 5000. */
  readonly commandTimeoutMs?: number;
  /** How long a connection may take to stand. Default 5000. */
  readonly connectTimeoutMs?: number;
  /** Longest pause between two attempts to connect; the pause is random below a bound that doubles up to this. Default 1000. */
  readonly maxReconnectMs?: number;
  /** The least an acknowledged publish must survive. Default `process`: file storage. */
  readonly requireDurability?: Durability;
  /** A stream that keeps less than `requireDurability`: `warn` (default) emits a `fault` event, `refuse` rejects open() with `UNSAFE_STORAGE`. */
  readonly onWeakDurability?: "warn" | "refuse";
  /** Channels that go over core NATS: at most once, only to who listens now, to every subscription. `reply.#` always does. */
  readonly ephemeral?: readonly string[];
  /** How often lost requests, deleted consumers and gaps are looked for. Default 1000. */
  readonly sweepMs?: number;
}

/** Options with every default filled in. */
export type NatsSettings = Required<Omit<NatsBrokerOptions, "servers" | "token" | "tls">> &
  Pick<NatsBrokerOptions, "servers" | "token" | "tls">;

const check = new OptionCheck("NATS");
const NUMBERS = [
  "leaseMs",
  "dedupeWindowMs",
  "retentionMs",
  "replicas",
  "maxBodyBytes",
  "commandTimeoutMs",
  "connectTimeoutMs",
  "maxReconnectMs",
  "sweepMs",
] as const;
const CHOICES = { ...DURABILITY_CHOICES, storage: ["file", "memory"] } as const;
const REPLIES = "reply.#";
const WEEK_MS = 7 * 24 * 3_600_000;
/** A name of a stream must fit into a file system. */
const MAX_NAMESPACE = 100;

/** Checks the options and fills in the defaults. Throws `INVALID_ARGUMENT` naming the field. */
export function natsSettings(options: NatsBrokerOptions): NatsSettings {
  const { url, namespace } = check.address(options.url ?? "nats://127.0.0.1:4222", ["nats", "tls"]);
  const settings: NatsSettings = {
    namespace: namespace ?? "herald",
    clock: systemClock,
    leaseMs: 30_000,
    dedupeWindowMs: 120_000,
    retentionMs: WEEK_MS,
    replicas: 1,
    storage: "file",
    maxBodyBytes: DEFAULT_LIMITS.maxMessageBytes,
    commandTimeoutMs: 5000,
    connectTimeoutMs: 5000,
    maxReconnectMs: 1000,
    requireDurability: "process",
    onWeakDurability: "warn",
    sweepMs: 1000,
    ...options,
    url,
    ephemeral: [REPLIES, ...(options.ephemeral ?? [])],
  };
  check.aboveZero(settings, NUMBERS);
  if (!/^[A-Za-z0-9_-]+$/.test(settings.namespace) || settings.namespace.length > MAX_NAMESPACE)
    throw check.wrong("namespace", `up to ${MAX_NAMESPACE} letters, digits, '_' and '-'`, settings.namespace);
  check.oneOf(settings, CHOICES);
  for (const pattern of settings.ephemeral) checkPattern(pattern);
  return settings;
}
