import { systemClock, type Clock } from "../../core/clock.ts";
import type { Durability } from "../../core/broker.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { checkPattern } from "../../core/pattern.ts";
import { DURABILITY_CHOICES, OptionCheck } from "../shared/option-check.ts";

/** A host and a port. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** TLS of a `rediss:` connection, in the words of `node:tls`. Certificates are verified unless `insecure` is set. */
export interface RedisTlsOptions {
  readonly ca?: string | Uint8Array;
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  readonly servername?: string;
  /** True: any certificate is taken, also one of an attacker. Told as a `fault` event at every open. */
  readonly insecure?: boolean;
}

/** Options of the Redis broker; all optional. */
export interface RedisBrokerOptions {
  /** `redis://[user[:password]@]host[:port][/database][?namespace=name]`, or `rediss:` for TLS. Default `redis://127.0.0.1:6379`. */
  readonly url?: string;
  /** Behind Sentinel: the name of the master and where sentinels listen. The URL then only gives the credentials. */
  readonly sentinel?: { readonly name: string; readonly nodes: readonly RedisAddress[] };
  /** A Redis Cluster: some of its nodes. The URL then only gives the credentials. */
  readonly cluster?: { readonly nodes: readonly RedisAddress[] };
  readonly tls?: RedisTlsOptions;
  /** Brokers of one namespace share channels. `[A-Za-z0-9_.-]+`. Default `herald`. */
  readonly namespace?: string;
  readonly clock?: Clock;
  /** How long a delivery is ours without being extended. Default 30,000. */
  readonly leaseMs?: number;
  /** How long an id is recognised when published again with `dedupe`. Default 120,000. */
  readonly dedupeWindowMs?: number;
  /** How long what every group has acknowledged is kept for replay. Default 7 days. */
  readonly retentionMs?: number;
  /** How many fully acknowledged envelopes a channel keeps for replay, about. Default 100,000. */
  readonly retentionLength?: number;
  /** Default 1 MiB. */
  readonly maxBodyBytes?: number;
  /** A connection that answers nothing for this long is given up. Default 5000. */
  readonly commandTimeoutMs?: number;
  /** How long a connection may take to stand. Default 5000. */
  readonly connectTimeoutMs?: number;
  /** Longest pause between two attempts to connect; the pause is random below a bound that doubles up to this. Default 1000. */
  readonly maxReconnectMs?: number;
  /** The least an acknowledged publish must survive. Default `process`: a server with `appendonly yes`. */
  readonly requireDurability?: Durability;
  /** A server that keeps less than `requireDurability`, or evicts keys: `warn` (default) emits a `fault` event, `refuse` rejects open() with `UNSAFE_STORAGE`. */
  readonly onWeakDurability?: "warn" | "refuse";
  /** Channels that go over plain pub/sub: at most once, only to who listens now, to every subscription. `reply.#` always does. */
  readonly ephemeral?: readonly string[];
  /** How often hand-written entries, lost wake-ups, dead consumers and gaps are looked for. Default 1000. */
  readonly sweepMs?: number;
}

/** Options with every default filled in. */
export type RedisSettings = Required<Omit<RedisBrokerOptions, "sentinel" | "cluster" | "tls">> &
  Pick<RedisBrokerOptions, "sentinel" | "cluster" | "tls">;

const check = new OptionCheck("Redis");
const NUMBERS = [
  "leaseMs",
  "dedupeWindowMs",
  "retentionMs",
  "retentionLength",
  "maxBodyBytes",
  "commandTimeoutMs",
  "connectTimeoutMs",
  "maxReconnectMs",
  "sweepMs",
] as const;
const REPLIES = "reply.#";
const WEEK_MS = 7 * 24 * 3_600_000;

/** Checks the options and fills in the defaults. Rejects with `INVALID_ARGUMENT` naming the field. */
export function redisSettings(options: RedisBrokerOptions): RedisSettings {
  const { url, namespace } = check.address(options.url ?? "redis://127.0.0.1:6379", ["redis", "rediss"]);
  const settings: RedisSettings = {
    namespace: namespace ?? "herald",
    clock: systemClock,
    leaseMs: 30_000,
    dedupeWindowMs: 120_000,
    retentionMs: WEEK_MS,
    retentionLength: 100_000,
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
  if (!/^[A-Za-z0-9_.-]+$/.test(settings.namespace))
    throw check.wrong("namespace", "letters, digits, '_', '.' and '-'", settings.namespace);
  check.oneOf(settings, DURABILITY_CHOICES);
  for (const pattern of settings.ephemeral) checkPattern(pattern);
  return settings;
}
