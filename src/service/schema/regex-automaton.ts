import { ANY, END, type CharSet } from "./char-set.ts";
import type { Automaton } from "./automaton.ts";
import { UnreadableRegex, type RegexNode } from "./regex-parse.ts";

/** Copies of a counted item are written out up to this many states; beyond, a count is read as a loop. */
const MAX_COPIED_STATES = 120;
const MAX_STATES = 600;

/** A part of the pattern: where it can begin and end, and in how many ways each. */
interface Part {
  /** In how many ways it can match nothing. */
  readonly empty: number;
  readonly first: ReadonlyMap<number, number>;
  readonly last: ReadonlyMap<number, number>;
}

type Repeat = Extract<RegexNode, { kind: "repeat" }>;
type Look = Extract<RegexNode, { kind: "look" }>;

const NOTHING: Part = { empty: 1, first: new Map(), last: new Map() };

/** What a backtracking matcher does with a pattern, as states and ways between them. */
export interface RegexAutomaton extends Automaton {
  /** Ways from the beginning into the pattern. */
  readonly starts: ReadonlyMap<number, number>;
  /** States in which the whole pattern has matched, whatever follows. */
  readonly accepting: ReadonlySet<number>;
}

/**
 * The position automaton of a pattern (Glushkov), with the number of ways counted: two ways of repeating are what the
 * matcher tries one after the other. A pattern that is not anchored gets a leading loop over everything, because the matcher
 * starts again at every character. Counts `{n,m}` beyond their first n are read as loops, which can only add ways. Throws
 * {@link UnreadableRegex}.
 */
export function regexAutomaton(root: RegexNode): RegexAutomaton {
  const builder = new Builder();
  const whole = builder.build(root);
  const anchored = isAnchored(root);
  const starts = anchored ? whole.first : builder.searched(whole.first);
  // A boundary or a look-around behind a state may still fail, so that nothing is sure to have matched.
  const accepting = new Set(builder.conditional ? [] : whole.last.keys());
  return { sets: builder.sets, edges: builder.edges, starts, accepting };
}

function isAnchored(node: RegexNode): boolean {
  if (node.kind === "start") return true;
  if (node.kind === "choice") return node.items.every(isAnchored);
  if (node.kind === "repeat") return node.min > 0 && isAnchored(node.item);
  if (node.kind !== "sequence") return false;
  const first = node.items.find((item) => item.kind !== "look" && item.kind !== "boundary");
  return first !== undefined && isAnchored(first);
}

function countStates(node: RegexNode): number {
  if (node.kind === "chars" || node.kind === "end") return 1;
  if (node.kind === "sequence" || node.kind === "choice")
    return node.items.reduce((sum, item) => sum + countStates(item), 0);
  if (node.kind === "repeat") {
    const states = countStates(node.item);
    return states * copies(node, states);
  }
  return node.kind === "look" ? countStates(node.item) : 0;
}

/**
 * How often the item is written out: all required turns, and an optional one if there is exactly one. What may be empty is
 * written out once more, because a required turn may be empty where a further one may not: two ways to match one text.
 */
function copies(node: Repeat, states: number): number {
  if (node.max === 0) return 0;
  if (states === 0) return 1;
  if (node.min === 1 && node.max > 1 && canBeEmpty(node.item)) return 2;
  const wanted = node.max - node.min === 1 ? node.max : Math.max(node.min, 1);
  return wanted * states <= MAX_COPIED_STATES ? wanted : 1;
}

function canBeEmpty(node: RegexNode): boolean {
  if (node.kind === "sequence") return node.items.every(canBeEmpty);
  if (node.kind === "choice") return node.items.some(canBeEmpty);
  if (node.kind === "repeat") return node.min === 0 || canBeEmpty(node.item);
  return node.kind === "look" || node.kind === "start" || node.kind === "boundary";
}

class Builder {
  readonly sets: CharSet[] = [];
  readonly edges: Map<number, number>[] = [];
  conditional = false;

  build(node: RegexNode): Part {
    switch (node.kind) {
      case "chars":
        return this.#state(node.set);
      case "end":
        return this.#state(END);
      case "sequence":
        return this.#chain(node.items.map((item) => this.build(item)));
      case "choice":
        return choose(node.items.map((item) => this.build(item)));
      case "repeat":
        return this.#repeat(node);
      case "look":
        return this.#look(node);
      case "boundary":
        this.conditional = true;
        return NOTHING;
      case "start":
        return NOTHING;
    }
  }

  /** The leading loop of a search; its own beginnings. */
  searched(first: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
    const { first: loop } = this.#state(ANY);
    this.#connect(loop, loop);
    this.#connect(loop, first);
    return new Map([...first, ...loop]);
  }

  #state(set: CharSet): Part {
    if (this.sets.length >= MAX_STATES) throw new UnreadableRegex("it has too many parts to be checked");
    const state = this.sets.length;
    this.sets.push(set);
    this.edges.push(new Map());
    return { empty: 0, first: new Map([[state, 1]]), last: new Map([[state, 1]]) };
  }

  #connect(from: ReadonlyMap<number, number>, to: ReadonlyMap<number, number>): void {
    for (const [state, ways] of from) {
      const edges = this.edges[state];
      for (const [target, more] of to) edges?.set(target, cap((edges.get(target) ?? 0) + ways * more));
    }
  }

  #chain(parts: readonly Part[]): Part {
    let whole = NOTHING;
    for (const part of parts) {
      this.#connect(whole.last, part.first);
      whole = {
        empty: cap(whole.empty * part.empty),
        first: add(whole.first, part.first, whole.empty),
        last: add(part.last, whole.last, part.empty),
      };
    }
    return whole;
  }

  #repeat(node: Repeat): Part {
    const turns = copies(node, countStates(node.item));
    const parts = Array.from({ length: turns }, () => this.build(node.item));
    const last = parts.at(-1);
    if (last === undefined) return NOTHING;
    if (last.empty > 0 && node.min > 1)
      throw new UnreadableRegex("it repeats a given number of times what may be empty");
    if (node.max > turns) this.#connect(last.last, last.first);
    // An optional turn that matches nothing is not taken (ECMA-262, 22.2.2.3.1), so skipping it is the one way to be empty.
    return this.#chain(parts.map((part, index) => (index < node.min ? part : { ...part, empty: 1 })));
  }

  #look(node: Look): Part {
    this.conditional = true;
    const before = this.sets.length;
    const inner = this.build(node.item);
    if (node.behind) {
      const loops = this.edges.some(
        (targets, state) => state >= before && [...targets.keys()].some((to) => to <= state),
      );
      if (loops) throw new UnreadableRegex("look-behind with a repetition is not supported");
      return NOTHING;
    }
    // It is read from where it stands and then given up: ways lead in, none lead out.
    return { empty: 1, first: inner.first, last: new Map() };
  }
}

function choose(parts: readonly Part[]): Part {
  return parts.reduce((whole, part) => ({
    empty: cap(whole.empty + part.empty),
    first: add(whole.first, part.first, 1),
    last: add(whole.last, part.last, 1),
  }));
}

function add(
  a: ReadonlyMap<number, number>,
  b: ReadonlyMap<number, number>,
  times: number,
): ReadonlyMap<number, number> {
  if (times === 0) return a;
  const sum = new Map(a);
  for (const [state, ways] of b) sum.set(state, cap((sum.get(state) ?? 0) + ways * times));
  return sum;
}

function cap(ways: number): number {
  return Math.min(ways, 1_000_000);
}
