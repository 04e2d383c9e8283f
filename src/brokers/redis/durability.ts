import type { Durability } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { Link } from "./link.ts";
import type { RedisSettings } from "./options.ts";

/** What a server keeps, as it says itself. */
export interface Kept {
  readonly durability: Durability;
  /** Null when the server does not let us ask. */
  readonly evicts: boolean | null;
}

const LEVELS: readonly Durability[] = ["none", "process", "os", "power"];

/**
 * Reads what an acknowledged write survives. `appendfsync always` is `os` and not `power`: whether a disk that says it has
 * written has done so, Redis cannot know, and replicas are asynchronous. `everysec` loses up to two seconds with the
 * system, nothing with the process.
 */
export async function readDurability(link: Link): Promise<Kept> {
  try {
    const [aof, fsync, policy] = await Promise.all(
      ["appendonly", "appendfsync", "maxmemory-policy"].map(async (name) => {
        const answer = (await link.send("", ["CONFIG", "GET", name])) as readonly string[];
        return answer[1] ?? "";
      }),
    );
    return { durability: levelOf(aof === "yes", fsync ?? ""), evicts: policy !== "noeviction" };
  } catch {
    // Managed servers refuse CONFIG; INFO tells whether there is a log, and not how it is synced.
    const info = String(await link.send("", ["INFO", "persistence"]));
    return { durability: levelOf(/^aof_enabled:1/m.test(info), ""), evicts: null };
  }
}

function levelOf(aof: boolean, fsync: string): Durability {
  if (!aof) return "none";
  return fsync === "always" ? "os" : "process";
}

/** Refuses a server that keeps less than is asked, or tells of it, as the policy says. */
export function judge(kept: Kept, settings: RedisSettings): void {
  const problems: string[] = [];
  const { requireDurability, onWeakDurability, tls } = settings;
  if (LEVELS.indexOf(kept.durability) < LEVELS.indexOf(requireDurability)) {
    const fix = requireDurability === "process" ? "appendonly yes" : "appendonly yes and appendfsync always";
    problems.push(
      `Redis keeps messages at durability '${kept.durability}' and '${requireDurability}' is asked for: set ${fix} on the server, or lower requireDurability.`,
    );
  }
  if (kept.evicts === true && requireDurability !== "none")
    problems.push(
      "Redis may evict keys when memory is short, messages among them: set maxmemory-policy noeviction.",
    );
  if (problems.length > 0) {
    const error = new HeraldError("UNSAFE_STORAGE", problems.join(" "), { details: { ...kept } });
    if (onWeakDurability === "refuse") throw error;
    emit("fault", () => ({ agent: "", error, where: "redis durability" }));
  }
  if (tls?.insecure === true) {
    const error = new HeraldError(
      "UNSAFE_STORAGE",
      "TLS certificates are not verified: anybody may be the server.",
    );
    emit("fault", () => ({ agent: "", error, where: "redis tls" }));
  }
}
