import { PatternTrie } from "../../core/pattern-trie.ts";
import type { Reader } from "./reader.ts";

/** Readers of one broker in this process, and which channels are not stored. */
export class Topology {
  /** By the name of their consumer. */
  readonly readers = new Map<string, Reader>();
  readonly #trie = new PatternTrie<Reader>();
  readonly #ephemeral = new PatternTrie<string>();
  /** Who reads a channel, as long as nobody comes or goes. */
  readonly #routes = new Map<string, readonly Reader[]>();

  constructor(ephemeral: readonly string[]) {
    for (const pattern of ephemeral) this.#ephemeral.add(pattern, pattern);
  }

  /** True for a channel that goes over core NATS. */
  isEphemeral(channel: string): boolean {
    return this.#ephemeral.match(channel).length > 0;
  }

  add(reader: Reader): void {
    this.readers.set(reader.consumer, reader);
    this.#trie.add(reader.pattern, reader);
    this.#routes.clear();
  }

  remove(reader: Reader): void {
    if (this.readers.get(reader.consumer) === reader) this.readers.delete(reader.consumer);
    this.#trie.remove(reader.pattern, reader);
    this.#routes.clear();
  }

  /** The readers here that a message of this channel goes to. */
  readersOn(channel: string): readonly Reader[] {
    if (this.readers.size === 0) return NOBODY;
    let readers = this.#routes.get(channel);
    if (readers === undefined) {
      if (this.#routes.size >= MAX_ROUTES) this.#routes.clear();
      this.#routes.set(channel, (readers = this.#trie.match(channel)));
    }
    return readers;
  }
}

const NOBODY: readonly Reader[] = Object.freeze([]);
const MAX_ROUTES = 10_000;
