import { isWildcard, matchToken } from "./pattern.ts";

/** Most nodes have one of the four: each is made when it is first needed. */
interface Node<T> {
  literal: Map<string, Node<T>> | undefined;
  glob: Map<string, Node<T>> | undefined;
  values: Set<T> | undefined;
  rest: Set<T> | undefined;
}

function createNode<T>(): Node<T> {
  return { literal: undefined, glob: undefined, values: undefined, rest: undefined };
}

/** Values kept by channel pattern. Finding those that cover a channel costs its tokens, not the number of patterns. */
export class PatternTrie<T> {
  #root: Node<T> = createNode();
  #size = 0;

  /** How many pattern and value pairs are held. */
  get size(): number {
    return this.#size;
  }

  /** Adds `value` under `pattern`; adding the same pair twice changes nothing. */
  add(pattern: string, value: T): void {
    const { set } = this.#place(pattern);
    if (set.has(value)) return;
    set.add(value);
    this.#size++;
  }

  /** Takes `value` away from `pattern`; true when it was there. Empty branches go with it. */
  remove(pattern: string, value: T): boolean {
    const { set, path } = this.#place(pattern);
    const found = set.delete(value);
    if (found) this.#size--;
    for (let i = path.length - 1; i >= 0; i--) {
      const step = path[i] as { from: Map<string, Node<T>>; token: string; to: Node<T> };
      if (!isEmpty(step.to)) break;
      step.from.delete(step.token);
    }
    return found;
  }

  /** Every value whose pattern covers `channel`, each once, in no order that is promised. */
  match(channel: string): T[] {
    const found = new Set<T>();
    collect(this.#root, channel.split("."), 0, found);
    return [...found];
  }

  #place(pattern: string) {
    const path: { from: Map<string, Node<T>>; token: string; to: Node<T> }[] = [];
    let node = this.#root;
    for (const token of pattern.split(".")) {
      if (token === "#") return { set: (node.rest ??= new Set()), path };
      const from = isWildcard(token) ? (node.glob ??= new Map()) : (node.literal ??= new Map());
      let to = from.get(token);
      if (to === undefined) from.set(token, (to = createNode()));
      path.push({ from, token, to });
      node = to;
    }
    return { set: (node.values ??= new Set()), path };
  }
}

function isEmpty<T>(node: Node<T>): boolean {
  return [node.literal, node.glob, node.values, node.rest].every((part) => (part?.size ?? 0) === 0);
}

function collect<T>(node: Node<T>, tokens: readonly string[], at: number, found: Set<T>): void {
  if (node.rest !== undefined) for (const value of node.rest) found.add(value);
  if (at === tokens.length) {
    if (node.values !== undefined) for (const value of node.values) found.add(value);
    return;
  }
  const token = tokens[at] as string;
  const literal = node.literal?.get(token);
  if (literal !== undefined) collect(literal, tokens, at + 1, found);
  if (node.glob === undefined) return;
  for (const [glob, next] of node.glob) if (matchToken(glob, token)) collect(next, tokens, at + 1, found);
}
