import type { Message } from "../core/message.ts";

/** The keys of a message that hold one short text. */
export const TEXT_KEYS: ReadonlySet<string> = new Set(["id", "timestamp", "source", "channel"]);

/** All six keys of a message. */
export const MESSAGE_KEYS: ReadonlySet<string> = new Set([...TEXT_KEYS, "payload", "metadata"]);

/** The value of an own property, also of an array's index; undefined when there is none. Never looks at prototypes. */
export function own(container: unknown, key: string): unknown {
  if (typeof container !== "object" || container === null || !Object.hasOwn(container, key)) return undefined;
  return (container as Record<string, unknown>)[key];
}

/** {@link own} along a path; undefined as soon as a step is missing. */
export function ownPath(container: unknown, path: readonly string[]): unknown {
  let value = container;
  for (const key of path) {
    value = own(value, key);
    if (value === undefined) return undefined;
  }
  return value;
}

/** What a bare name means besides the payload's own field: a field of the metadata, then a header. */
export function ownMetadata(message: Message, name: string): unknown {
  const value = own(message.metadata, name);
  return value === undefined ? own(own(message.metadata, "headers"), name) : value;
}
