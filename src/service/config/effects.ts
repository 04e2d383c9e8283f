import type { BrokerType, SettingName } from "./known.ts";
import type { Said } from "./resolve.ts";

/** A setting that was written and changes nothing. */
export interface Unused {
  /** Where it was written. */
  readonly path: string;
  /** A sentence: why, and what to do instead. */
  readonly message: string;
}

/** Settings that only some technologies have. */
const ONLY: Partial<Record<SettingName, readonly (BrokerType | undefined)[]>> = {
  redisUrl: ["redis", "bullmq"],
  redisHost: ["redis", "bullmq"],
  redisPort: ["redis", "bullmq"],
  redisUsername: ["redis", "bullmq"],
  redisPassword: ["redis", "bullmq"],
  redisDatabase: ["redis", "bullmq"],
  redisTls: ["redis", "bullmq"],
  maxStreamLength: ["memory", "redis"],
  messageTtlDays: ["file", "redis"],
  messageMaxAgeMs: ["file", "redis"],
  fileMessagingDir: ["file"],
  pollingIntervalMs: ["file"],
  deleteProcessedMessages: ["file"],
};

/** Settings that are taken and that nothing in this version acts on, whatever the technology, with the value that asks for something. */
const NOWHERE: Partial<
  Record<SettingName, { readonly when: (value: unknown) => boolean; readonly message: string }>
> = {
  maxConnections: {
    when: () => true,
    message: "Herald needs a handful of connections a process, whatever is asked of it, and opens no more.",
  },
  messageTimeoutMs: {
    when: () => true,
    message: "there is no time to live for all messages; give ttlSeconds where you publish.",
  },
  metricsEnabled: {
    when: (value) => value === false,
    message: "figures are always kept; do not serve them if you do not want them.",
  },
};

/** What was written and has no effect, so that it is never passed over in silence. */
export function unusedOf(said: Said, type: BrokerType | undefined): readonly Unused[] {
  const unused: Unused[] = [];
  // What a lower layer says of its own technology is meant for when that is the chosen one.
  const chosenAt = said.get("url")?.layer ?? said.get("brokerType")?.layer ?? 0;
  for (const [name, { value, path, layer }] of said) {
    const nowhere = NOWHERE[name];
    const only = ONLY[name];
    if (nowhere?.when(value) === true)
      unused.push({ path, message: `${path} has no effect: ${nowhere.message}` });
    else if (only !== undefined && layer >= chosenAt && !only.includes(type))
      unused.push({
        path,
        message: `${path} has no effect on this broker: it is for ${only.join(" and ")}.`,
      });
  }
  return unused;
}
