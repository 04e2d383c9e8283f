import { readCommand, readPublished, readSubscribed } from "./channels.ts";
import type { MessagingSpec } from "./model.ts";
import { readObject, type KnownKeys, type ObjectReader, type Place } from "./object-reader.ts";
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
  const spec = {
    publishes: readAll(reader, "publishes", readPublished),
    subscribes: readAll(reader, "subscribes", readSubscribed),
    commands: readAll(reader, "commands", readCommand),
    reliability: readReliability(reader),
  };
  checkOnce(reader, "publishes", "channel");
  checkOnce(reader, "commands", "name");
  checkOnce(reader, "subscribes", "channel");
  return spec;
}

function readAll<T>(
  reader: ObjectReader,
  key: string,
  read: (value: unknown, place: Place) => T | undefined,
): readonly T[] {
  return reader
    .list(key)
    .map(([value, place]) => read(value, place))
    .filter((item) => item !== undefined);
}

/** A channel or command may be declared once. Two subscriptions work, but they share the messages of one group. */
function checkOnce(reader: ObjectReader, key: string, name: string): void {
  const first = new Map<unknown, number>();
  for (const [index, [item, { segments, problems }]] of reader.list(key).entries()) {
    const value: unknown =
      typeof item === "object" && item !== null ? (item as Record<string, unknown>)[name] : undefined;
    const before = first.get(value);
    if (before === undefined || typeof value !== "string") {
      first.set(value, index);
      continue;
    }
    const at = {
      segments: [...segments, name],
      message: `is declared twice: ${key}[${before}] has ${value} already`,
    };
    if (key === "subscribes") {
      problems.warn({
        ...at,
        hint: "Both belong to the agent's group, so that each message goes to only one of them.",
      });
    } else problems.error({ ...at, hint: "Keep one of them." });
  }
}
