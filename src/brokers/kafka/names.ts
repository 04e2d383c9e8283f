/** What begins names that are no channel's. */
const OWN = "--";
const MAX_TOPIC = 249;

/** The topic of everything that the processes of a namespace must agree on. */
export function directoryTopic(namespace: string): string {
  return `${namespace}.${OWN}directory`;
}

/** The topic of the channels that share one. */
export function sharedTopic(namespace: string): string {
  return `${namespace}.${OWN}shared`;
}

/** The topic of the channels of replies. */
export function repliesTopic(namespace: string): string {
  return `${namespace}.${OWN}replies`;
}

/** The topic of ids that were handled. */
export function inboxTopic(namespace: string): string {
  return `${namespace}.${OWN}inbox`;
}

/** The group in which the processes of a namespace find each other. */
export function membersGroup(namespace: string): string {
  return `${namespace}.${OWN}members`;
}

/** The Kafka group under which the place of a group is kept; a channel that shares its topic has one of its own. */
export function offsetsGroup(namespace: string, group: string, sharedChannel?: string): string {
  return sharedChannel === undefined ? `${namespace}.${group}` : `${namespace}.${group}@${sharedChannel}`;
}

/**
 * The topic of a channel: its name behind the namespace. `_` is written `--u`, because Kafka lets no two topics differ in `.`
 * and `_` only, `:` as `--c`, which Kafka does not take, and `--` as `----`. Undefined when it is too long for a topic.
 */
export function topicOf(namespace: string, channel: string): string | undefined {
  const name = `${namespace}.${channel.replace(/--|_|:/g, escapeOf)}`;
  return name.length > MAX_TOPIC ? undefined : name;
}

function escapeOf(found: string): string {
  return found === "_" ? "--u" : found === ":" ? "--c" : "----";
}

/** The channel of a topic, or undefined for one that is no channel's. */
export function channelOf(namespace: string, topic: string): string | undefined {
  if (!topic.startsWith(`${namespace}.`)) return undefined;
  const name = topic.slice(namespace.length + 1);
  if (name.startsWith(OWN) && !/^--[uc-]/.test(name)) return undefined;
  return name.replace(/----|--u|--c/g, (found) => (found === "----" ? "--" : found === "--u" ? "_" : ":"));
}

/** A number from a text, the same everywhere (FNV-1a). */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
