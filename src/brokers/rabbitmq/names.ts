import { createHash } from "node:crypto";

/** A name of AMQP is a short string. */
const MAX_BYTES = 255;

/** Names of exchanges and queues of one namespace. */
export class Names {
  /** The topic exchange; a channel is its routing key. */
  readonly exchange: string;
  /** Where what waited for its time goes, to every queue that is bound to the exchange then. */
  readonly due: string;
  /** Where what waited for its retry goes, to the one queue that is its routing key. */
  readonly back: string;
  /** Where messages go that no queue is there for any more. They end there. */
  readonly sink: string;
  /** Where the server puts what it gives up on; nothing of ours ever does. */
  readonly dead: string;
  /** The stream of which group reads which pattern. */
  readonly registry: string;
  readonly #namespace: string;

  constructor(namespace: string) {
    this.#namespace = namespace;
    this.exchange = namespace;
    this.due = `${namespace}.due`;
    this.back = `${namespace}.back`;
    this.sink = `${namespace}.sink`;
    this.dead = `${namespace}.dead`;
    this.registry = `${namespace}.registry`;
  }

  /** The queue of a group under a pattern: the same in every process. */
  group(pattern: string, group: string): string {
    const name = `${this.#namespace}/${group}/${pattern}`;
    if (Buffer.byteLength(name) <= MAX_BYTES && !group.includes("/")) return name;
    const digest = createHash("sha256").update(`${group}/${pattern}`).digest("hex");
    return `${this.#namespace}//${digest.slice(0, 40)}`;
  }

  /** The queue of one broadcast subscription. */
  listener(unique: string): string {
    return `${this.#namespace}/~${unique}`;
  }

  /** The stream of what a channel retains. */
  retained(channel: string): string {
    return `${this.#namespace}/#${channel}`;
  }

  /** The stream of the ids that were handled, which are remembered so long. */
  inbox(seconds: number): string {
    return `${this.#namespace}.inbox.${seconds}`;
  }

  /** Exchange and queue of what waits so long. */
  rung(kind: "delay" | "retry", ms: number): string {
    return `${this.#namespace}.${kind}.${ms}`;
  }
}

/** What the server is asked for: the pattern, or a little more where a token holds a `*`. */
export function bindingKey(pattern: string): string {
  return pattern
    .split(".")
    .map((token) => (token !== "*" && token.includes("*") ? "*" : token))
    .join(".");
}

/** True when the binding lets through what the pattern does not cover. */
export function isCoarse(pattern: string): boolean {
  return pattern.split(".").some((token) => token.includes("*") && token !== "*");
}
