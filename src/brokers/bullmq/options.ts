import type { Durability } from "../../core/broker.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { DURABILITY_CHOICES, OptionCheck, withoutPassword } from "../shared/option-check.ts";

/** Options of the BullMQ broker; all optional. */
export interface BullMQBrokerOptions {
  /** `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. Default `redis://127.0.0.1:6379`. */
  readonly url?: string;
  /** The `prefix` of every BullMQ queue, as Bull Board and other BullMQ programs must be told. Default `bull`. */
  readonly prefix?: string;
  /** How long a delivery is its consumer's own before it is handed out again. Default 30,000. */
  readonly leaseMs?: number;
  /** How often is looked for deliveries whose lease ended. Default a quarter of `leaseMs`. */
  readonly stalledCheckMs?: number;
  /** How soon a job is noticed that was added to a queue by a program that is not Herald. Default 1000. */
  readonly pollMs?: number;
  /** How many handled jobs each queue keeps for Bull Board to show. Default 0. */
  readonly keepCompleted?: number;
  /** How long an id is recognised when published again with `dedupe`. Default 120,000. */
  readonly dedupeWindowMs?: number;
  /** How long a broadcast subscription outlives a process that died or lost its connection. Default 60,000. */
  readonly broadcastGraceMs?: number;
  /** How long a call waits for the server before it says so. Default 10,000. */
  readonly timeoutMs?: number;
  /** The least that an acknowledged publish must survive. Default `process`: a server with `appendonly yes`. */
  readonly requireDurability?: Durability;
  /** A server that keeps less, or evicts keys: `warn` (default) emits a `fault` event, `refuse` rejects open() with `UNSAFE_STORAGE`. */
  readonly onWeakDurability?: "warn" | "refuse";
  /** Default 1 MiB. */
  readonly maxBodyBytes?: number;
}

/** Options with every default filled in. */
export type BullMQSettings = Required<BullMQBrokerOptions>;

const check = new OptionCheck("BullMQ");
const PREFIX = /^[A-Za-z0-9_.{}-]{1,100}$/;

/** Checks the options and fills in the defaults. Throws `INVALID_ARGUMENT` naming the field. */
export function bullmqSettings(options: BullMQBrokerOptions): BullMQSettings {
  const leaseMs = options.leaseMs ?? 30_000;
  const settings: BullMQSettings = {
    url: "redis://127.0.0.1:6379",
    prefix: "bull",
    leaseMs,
    stalledCheckMs: leaseMs / 4,
    pollMs: 1000,
    keepCompleted: 0,
    dedupeWindowMs: 120_000,
    broadcastGraceMs: 60_000,
    timeoutMs: 10_000,
    requireDurability: "process",
    onWeakDurability: "warn",
    maxBodyBytes: DEFAULT_LIMITS.maxMessageBytes,
    ...options,
  };
  const { url, prefix, requireDurability: _required, onWeakDurability: _policy, ...numbers } = settings;
  if (typeof url !== "string" || !/^rediss?:\/\//.test(url))
    throw check.wrong("url", "a redis: or rediss: URL", withoutPassword(String(url)));
  if (typeof prefix !== "string" || !PREFIX.test(prefix))
    throw check.wrong("prefix", "1 to 100 characters of A-Z a-z 0-9 _ . { } -", prefix);
  check.oneOf(settings, DURABILITY_CHOICES);
  for (const [name, value] of Object.entries(numbers)) {
    const least = name === "keepCompleted" || name === "maxBodyBytes" ? 0 : 1;
    if (typeof value !== "number" || !(value >= least) || !Number.isFinite(value))
      throw check.wrong(name, `a number of ${least} or more`, value);
  }
  return settings;
}
