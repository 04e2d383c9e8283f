import { readCommand, readPublished, readSubscribed } from "./channels.ts";
import type { MessagingSpec } from "./model.ts";
import { isPlainObject, readObject, type KnownKeys, type ObjectReader, type Place } from "./object-reader.ts";
import { readReliability } from "./reliability.ts";

const MESSAGING: KnownKeys = {
  keys: ["publishes", "subscribes", "commands", "reliability"],
  hints: {
    publish: "publishes",
    subscribe: "subscribes",
    subscriptions: "subscribes",
    transport: "Brokers are chosen where the service is started, not in a manifest.",
    broker: "Brokers are chosen where the service is started, not in a manifest.",
    queues: "Subscribers that share an agent id share its messages; there is nothing to declare.",
  },
};

/** A specification in which nothing is declared. */
export const NO_MESSAGING: MessagingSpec = { publishes: [], subscribes: [], commands: [], reliability: {} };

/** Reads `spec.messaging`, or the same object written in code, and reports everything that is wrong with it. */
export function readMessaging(value: unknown, place: Place): MessagingSpec {
  const reader = readObject(value, place, MESSAGING);
  if (reader === undefined) return NO_MESSAGING;
  const publishes = reader.list("publishes");
  const subscribes = reader.list("subscribes");
  const commands = reader.list("commands");
  const spec = {
    publishes: readAll(publishes, readPublished),
    subscribes: readAll(subscribes, readSubscribed),
    commands: readAll(commands, readCommand),
    reliability: readReliability(reader),
  };
  reportRepeated(publishes, { list: "publishes", key: "channel" });
  reportRepeated(commands, { list: "commands", key: "name" });
  reportRepeated(subscribes, { list: "subscribes", key: "channel" });
  return spec;
}

type Items = ReturnType<ObjectReader["list"]>;

function readAll<T>(items: Items, read: (value: unknown, place: Place) => T | undefined): readonly T[] {
  return items.map(([value, place]) => read(value, place)).filter((item) => item !== undefined);
}

/** A channel or command may be declared once. Two subscriptions work, but they share the messages of one group. */
function reportRepeated(items: Items, { list, key }: { readonly list: string; readonly key: string }): void {
  const first = new Map<string, number>();
  for (const [index, [item, { segments, problems }]] of items.entries()) {
    const value: unknown = isPlainObject(item) ? item[key] : undefined;
    if (typeof value !== "string") continue;
    const before = first.get(value);
    if (before === undefined) {
      first.set(value, index);
      continue;
    }
    const at = {
      segments: [...segments, key],
      message: `is declared twice: ${list}[${before}] has ${value} already`,
    };
    if (list === "subscribes") {
      problems.warn({
        ...at,
        hint: "Both belong to the agent's group, so that each message goes to only one of them.",
      });
    } else problems.error({ ...at, hint: "Keep one of them." });
  }
}
