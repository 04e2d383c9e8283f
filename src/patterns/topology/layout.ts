import { HeraldError } from "../../core/errors.ts";
import { checkChannel, checkPattern } from "../../core/pattern.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";

/** How an exchange picks the queues of a message: AMQP 0-9-1, section 3.1.3. */
export const EXCHANGE_TYPES = ["topic", "direct", "fanout"] as const;

/** One of {@link EXCHANGE_TYPES}. */
export type ExchangeType = (typeof EXCHANGE_TYPES)[number];

/** One step of how a layout came to be. */
export type Change =
  | { readonly do: "createExchange"; readonly exchange: string; readonly type: ExchangeType }
  | { readonly do: "deleteExchange"; readonly exchange: string }
  | { readonly do: "createQueue" | "deleteQueue"; readonly queue: string }
  | {
      readonly do: "bind" | "unbind";
      readonly queue: string;
      readonly exchange: string;
      readonly key: string;
    };

/** A queue that is bound to an exchange by a routing key. */
export interface Binding {
  readonly queue: string;
  readonly exchange: string;
  readonly key: string;
}

interface Exchange {
  readonly type: ExchangeType;
  readonly bindings: Map<string, Binding>;
  /** Of a topic exchange: the queues by pattern. */
  readonly queues: PatternTrie<string>;
}

/** The longest routing key of a direct exchange, characters (AMQP's short string). */
const MAX_KEY = 255;
const KEY = /^[\x20-\x7E]*$/;

/** Exchanges, queues and what binds them: what came of a row of changes. */
export class Layout {
  readonly queues = new Set<string>();
  readonly #exchanges = new Map<string, Exchange>();

  /** A change that changes nothing is one that was made already, by whomever. */
  apply(change: Change): void {
    switch (change.do) {
      case "createExchange":
        if (!this.#exchanges.has(change.exchange))
          this.#exchanges.set(change.exchange, {
            type: change.type,
            bindings: new Map(),
            queues: new PatternTrie(),
          });
        return;
      case "deleteExchange":
        this.#exchanges.delete(change.exchange);
        return;
      case "createQueue":
        this.queues.add(change.queue);
        return;
      case "deleteQueue":
        this.queues.delete(change.queue);
        for (const { bindings } of this.#exchanges.values())
          for (const binding of bindings.values()) if (binding.queue === change.queue) this.#unbind(binding);
        return;
      case "bind":
        this.#bind({ queue: change.queue, exchange: change.exchange, key: change.key });
        return;
      case "unbind":
        this.#unbind(change);
    }
  }

  /** Would it change anything? */
  isNews(change: Change): boolean {
    switch (change.do) {
      case "createExchange":
        return !this.#exchanges.has(change.exchange);
      case "deleteExchange":
        return this.#exchanges.has(change.exchange);
      case "createQueue":
        return !this.queues.has(change.queue);
      case "deleteQueue":
        return this.queues.has(change.queue);
      case "bind":
      case "unbind":
        return this.#isBound(change) === (change.do === "unbind");
    }
  }

  /** Undefined: there is no such exchange. */
  typeOf(exchange: string): ExchangeType | undefined {
    return this.#exchanges.get(exchange)?.type;
  }

  /** Names of the exchanges. */
  exchanges(): string[] {
    return [...this.#exchanges.keys()];
  }

  /** Everything that is bound. */
  bindings(): Binding[] {
    return [...this.#exchanges.values()].flatMap(({ bindings }) => [...bindings.values()]);
  }

  /** The queues that a message goes to, each once however many of its bindings fit. */
  targets(exchange: string, key: string): string[] {
    const found = this.#exchanges.get(exchange);
    if (found === undefined) return [];
    if (found.type === "topic") return found.queues.match(key);
    const fits = [...found.bindings.values()].filter(
      (binding) => found.type === "fanout" || binding.key === key,
    );
    return [...new Set(fits.map(({ queue }) => queue))];
  }

  #bind(binding: Binding): void {
    const exchange = this.#exchanges.get(binding.exchange);
    if (exchange === undefined || !this.queues.has(binding.queue)) return;
    exchange.bindings.set(nameOf(binding), binding);
    if (exchange.type === "topic") exchange.queues.add(binding.key, binding.queue);
  }

  #isBound(binding: Binding): boolean {
    return this.#exchanges.get(binding.exchange)?.bindings.has(nameOf(binding)) === true;
  }

  #unbind(binding: Binding): void {
    const exchange = this.#exchanges.get(binding.exchange);
    if (exchange?.bindings.delete(nameOf(binding)) === true && exchange.type === "topic")
      exchange.queues.remove(binding.key, binding.queue);
  }
}

/** Throws `INVALID_ARGUMENT` or `INVALID_CHANNEL`: the key of a topic is a channel's name, and one that binds is a pattern. */
export function checkKey(type: ExchangeType, key: unknown, isBinding: boolean): asserts key is string {
  if (type === "topic") {
    if (isBinding) checkPattern(key);
    else checkChannel(key);
    return;
  }
  if (typeof key === "string" && key.length <= MAX_KEY && KEY.test(key)) return;
  const message = `A routing key is at most ${MAX_KEY} printable ASCII characters.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "routingKey" } });
}

function nameOf({ queue, key }: { readonly queue: string; readonly key: string }): string {
  return `${queue} ${key}`;
}
