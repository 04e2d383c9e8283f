import type { RedisClientType } from "@redis/client";
import type { Durability } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { BullMQSettings } from "./options.ts";

/** What a server keeps, as it says itself. */
interface Kept {
  readonly durability: Durability;
  /** Null when the server does not let us ask. */
  readonly evicts: boolean | null;
}

const LEVELS: readonly Durability[] = ["none", "process", "os", "power"];

/**
 * Reads what an acknowledged publish survives. `appendfsync always` is `os` and not `power`: whether a disk that says it has
 * written has done so, Redis cannot know. A server that does not tell its settings is believed as far as `INFO` shows.
 */
async function readKept(redis: RedisClientType): Promise<Kept> {
  try {
    const settings = {
      ...(await redis.configGet("append*")),
      ...(await redis.configGet("maxmemory-policy")),
    } as Readonly<Record<string, string>>;
    const level = settings["appendfsync"] === "always" ? "os" : "process";
    return {
      durability: settings["appendonly"] === "yes" ? level : "none",
      evicts: settings["maxmemory-policy"] !== "noeviction",
    };
  } catch {
    const info = await redis.info("persistence");
    return { durability: /^aof_enabled:1/m.test(info) ? "process" : "none", evicts: null };
  }
}

/** The durability of a server; refuses one that keeps less than is asked, or tells of it, as the policy says. */
export async function judgeDurability(redis: RedisClientType, settings: BullMQSettings): Promise<Durability> {
  const { requireDurability, onWeakDurability } = settings;
  const kept = await readKept(redis);
  const problems: string[] = [];
  if (LEVELS.indexOf(kept.durability) < LEVELS.indexOf(requireDurability))
    problems.push(
      `Redis keeps messages at durability '${kept.durability}' and '${requireDurability}' is asked for: set appendonly yes${requireDurability === "process" ? "" : " and appendfsync always"} on the server, or lower requireDurability.`,
    );
  if (kept.evicts === true && requireDurability !== "none")
    problems.push(
      "Redis may evict keys when memory is short, jobs among them: set maxmemory-policy noeviction.",
    );
  if (problems.length === 0) return kept.durability;
  const error = new HeraldError("UNSAFE_STORAGE", problems.join(" "), { details: { ...kept } });
  if (onWeakDurability === "refuse") throw error;
  emit("fault", () => ({ agent: "", error, where: "bullmq durability" }));
  return kept.durability;
}
