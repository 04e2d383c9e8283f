import { createHash } from "node:crypto";

/** Characters of a group or pattern that a name of a consumer may show. */
const SHOWN = 40;

/** Names of streams, subjects and consumers of one namespace. A channel is its subject but for the first token. */
export class Names {
  /** The stream of the messages. */
  readonly stream: string;
  /** The stream of what is kept beside them, one message a subject: notes of deliveries, groups, declared channels. */
  readonly records: string;
  /** The stream of the ids that were handled. */
  readonly inbox: string;
  readonly #namespace: string;

  constructor(namespace: string) {
    this.#namespace = namespace;
    this.stream = namespace;
    this.records = `${namespace}-records`;
    this.inbox = `${namespace}-inbox`;
  }

  /** The subject of a channel. */
  subject(channel: string): string {
    return `${this.#namespace}.${channel}`;
  }

  /** The channel of a subject. */
  channel(subject: string): string {
    return subject.slice(this.#namespace.length + 1);
  }

  /** The subject of a channel that is not stored. */
  live(channel: string): string {
    return `${this.#namespace}~live.${channel}`;
  }

  /** The channel of a subject that is not stored. */
  liveChannel(subject: string): string {
    return subject.slice(this.#namespace.length + "~live.".length);
  }

  /** Where one message waits inside NATS until it is nearly due. */
  delayed(unique: string): string {
    return `${this.#namespace}~delay.${unique}`;
  }

  /** Every subject of the stream. */
  get subjects(): readonly string[] {
    return [`${this.#namespace}.>`, this.delayed("*")];
  }

  /** Every subject of what is kept beside. */
  get recordSubjects(): readonly string[] {
    return ["note.*.*", "hand.*.*", "on.*.>", "wild.*.*", "channel.>"].map(
      (tail) => `${this.#namespace}~${tail}`,
    );
  }

  /** What is known of one delivery beside its count. */
  note(consumer: string, sequence: string): string {
    return `${this.#namespace}~note.${consumer}.${sequence}`;
  }

  /** What one process had in hand of a consumer when the server was lost. */
  hand(consumer: string, process: string): string {
    return `${this.#namespace}~hand.${consumer}.${process}`;
  }

  /** That a run of the server was noticed. No consumer has this name. */
  run(serverId: string): string {
    return this.hand("runs", serverId);
  }

  /** That a group reads a pattern. */
  record(pattern: string, group: string): string {
    return pattern.includes("*") || pattern.endsWith("#")
      ? `${this.#namespace}~wild.${digest(group)}.${digest(pattern)}`
      : `${this.#namespace}~on.${digest(group)}.${pattern}`;
  }

  /** Every pattern with wildcards that a group reads; of all groups without one. */
  wilds(group?: string): string {
    return `${this.#namespace}~wild.${group === undefined ? "*" : digest(group)}.*`;
  }

  /** Every group that reads exactly this channel. */
  readersOf(channel: string): string {
    return `${this.#namespace}~on.*.${channel}`;
  }

  /** How a channel is kept. */
  declared(channel: string): string {
    return `${this.#namespace}~channel.${channel}`;
  }

  /** The channel of {@link declared}. */
  declaredChannel(subject: string): string {
    return subject.slice(this.#namespace.length + "~channel.".length);
  }

  /** That a group has handled an id. */
  handled(group: string, id: string): string {
    return `${this.#namespace}~inbox.${digest(group)}.${Buffer.from(id, "utf8").toString("base64url")}`;
  }

  /** Every subject of the handled ids. */
  get handledSubjects(): string {
    return `${this.#namespace}~inbox.*.*`;
  }

  /** What the server is asked to send for a pattern: the pattern, or a little more where a token holds a `*`. */
  filters(pattern: string): readonly string[] {
    const tokens = pattern.split(".").map((token) => (token.includes("*") ? "*" : token));
    if (tokens.at(-1) !== "#") return [this.subject(tokens.join("."))];
    const before = tokens.slice(0, -1);
    if (before.length === 0) return [this.subject(">")];
    return [this.subject(before.join(".")), this.subject([...before, ">"].join("."))];
  }

  /** The same for channels that are not stored. */
  liveFilters(pattern: string): readonly string[] {
    return this.filters(pattern).map((filter) => this.live(this.channel(filter)));
  }
}

/** The consumer of a group under a pattern: the same in every process. */
export function consumerOf(pattern: string, group: string): string {
  const shown = (text: string): string => text.replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, SHOWN);
  return `${shown(group)}-${shown(pattern)}-${digest(`${pattern} ${group}`)}`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 24);
}

/** True when the server's filter lets through what the pattern does not cover. */
export function isCoarse(pattern: string): boolean {
  return pattern.split(".").some((token) => token.includes("*") && token !== "*");
}
