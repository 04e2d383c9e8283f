import type { Durability } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { Cluster } from "./cluster.ts";

const LEVELS: readonly Durability[] = ["none", "process", "os", "power"];
const TOPIC = 2;

/**
 * What an acknowledged write survives, read from how a topic of ours is kept. A write that two nodes must have survives the crash of
 * one; one that is flushed before its answer survives that of its own. Neither is `power`: whether a disk that says it has
 * written has done so Kafka cannot know.
 */
export async function readDurability(cluster: Cluster, topic: string): Promise<Durability> {
  try {
    const { api } = cluster.kafka.describeConfigsV4;
    const configurationKeys = ["min.insync.replicas", "flush.messages"];
    const answer = await cluster.any(
      api,
      [{ resourceType: TOPIC, resourceName: topic, configurationKeys }],
      false,
      false,
    );
    const configs = new Map(answer.results[0]?.configs.map(({ name, value }) => [name, value]));
    const isCopied =
      Number(configs.get("min.insync.replicas")) > 1 && (cluster.topic(topic)?.copies ?? 1) > 1;
    return isCopied || configs.get("flush.messages") === "1" ? "os" : "process";
  } catch {
    // Not everybody may ask.
    return "process";
  }
}

/** Refuses a cluster that keeps less than is asked, or tells of it, as the policy says. */
export function judge(durability: Durability, { settings }: Cluster): void {
  const { requireDurability, onWeakDurability, tls } = settings;
  if (LEVELS.indexOf(durability) < LEVELS.indexOf(requireDurability)) {
    const message = `Kafka keeps messages at durability '${durability}' and '${requireDurability}' is asked for: set replication to 3 and min.insync.replicas to 2 on the cluster, or lower requireDurability.`;
    const error = new HeraldError("UNSAFE_STORAGE", message, { details: { durability } });
    if (onWeakDurability === "refuse") throw error;
    emit("fault", () => ({ agent: "", error, where: "kafka durability" }));
  }
  if (tls?.insecure === true) {
    const error = new HeraldError(
      "UNSAFE_STORAGE",
      "TLS certificates are not verified: anybody may be the server.",
    );
    emit("fault", () => ({ agent: "", error, where: "kafka tls" }));
  }
}
