import { overlaps, type CharSet } from "./char-set.ts";

/** States that each take one symbol of a set, and how many ways there are from one to the next. */
export interface Automaton {
  readonly sets: readonly CharSet[];
  readonly edges: readonly ReadonlyMap<number, number>[];
}

/** How the work of a backtracking search grows with the length of its input. */
export interface Growth {
  readonly kind: "linear" | "polynomial" | "exponential";
  /** How many loops the automaton has: the exponent of the polynomial is at most this. */
  readonly loops: number;
}

/** The automaton is too large to be judged within {@link MAX_STEPS}. */
export class TooComplex extends Error {}

/** Work allowed for one judgement: some tens of milliseconds. */
const MAX_STEPS = 2_000_000;

/**
 * Judges the ambiguity of an automaton: in how many ways it can read one input. Infinitely many is what makes
 * backtracking slow. Exponential: some state can come back to itself in two ways on one input. Polynomial: two loops, one
 * after the other, and an input that both can take and that also leads from the one to the other. The criteria are those
 * of Weber and Seidl, "On the degree of ambiguity of finite automata" (1991). Throws {@link TooComplex}.
 */
export function judgeGrowth(automaton: Automaton): Growth {
  const judge = new Judge(automaton);
  const loops = judge.components.length;
  if (judge.isExponential()) return { kind: "exponential", loops };
  return { kind: judge.isPolynomial() ? "polynomial" : "linear", loops };
}

/** The exponential half of {@link judgeGrowth}, which is the cheaper. */
export function hasExponentialGrowth(automaton: Automaton): boolean {
  return new Judge(automaton).isExponential();
}

class Judge {
  readonly components: readonly (readonly number[])[];
  readonly #automaton: Automaton;
  readonly #componentOf = new Map<number, number>();
  #steps = 0;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
    this.components = loopsOf(automaton);
    for (const [index, states] of this.components.entries())
      for (const state of states) this.#componentOf.set(state, index);
  }

  isExponential(): boolean {
    return this.components.some(
      (states, index) => this.#hasDoubleEdge(states, index) || this.#hasTwoWaysBack(states, index),
    );
  }

  isPolynomial(): boolean {
    for (const [index, states] of this.components.entries()) {
      for (const [other, others] of this.components.entries()) {
        if (index !== other && this.#overtakes(states, others)) return true;
      }
    }
    return false;
  }

  #hasDoubleEdge(states: readonly number[], index: number): boolean {
    return states.some((state) =>
      [...this.#next(state)].some(([to, ways]) => ways > 1 && this.#componentOf.get(to) === index),
    );
  }

  /** Two different states of one loop that one input reaches together from one state, and leads together to one state. */
  #hasTwoWaysBack(states: readonly number[], index: number): boolean {
    const forward = this.#pairsFrom(states, index);
    const backward = new Map<string, Set<string>>();
    for (const [from, targets] of forward) {
      for (const to of targets) {
        const sources = backward.get(to) ?? new Set();
        backward.set(to, sources.add(from));
      }
    }
    const open = states.map((state) => pairKey(state, state));
    const seen = new Set(open);
    for (let key = open.pop(); key !== undefined; key = open.pop()) {
      for (const source of backward.get(key) ?? []) {
        if (seen.has(source)) continue;
        if (!isDiagonal(source)) return true;
        seen.add(source);
        open.push(source);
      }
    }
    return false;
  }

  #pairsFrom(states: readonly number[], index: number): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    const open: (readonly [number, number])[] = states.map((state) => [state, state]);
    for (let pair = open.pop(); pair !== undefined; pair = open.pop()) {
      const key = pairKey(pair[0], pair[1]);
      if (found.has(key)) continue;
      const targets = new Set<string>();
      found.set(key, targets);
      for (const to of this.#steppedPairs(pair, index)) {
        targets.add(pairKey(to[0], to[1]));
        open.push(to);
      }
    }
    return found;
  }

  *#steppedPairs(pair: readonly [number, number], index: number): Generator<readonly [number, number]> {
    for (const a of this.#next(pair[0]).keys()) {
      if (this.#componentOf.get(a) !== index) continue;
      for (const b of this.#next(pair[1]).keys()) {
        this.#count();
        if (this.#componentOf.get(b) === index && this.#meet(a, b)) yield [a, b];
      }
    }
  }

  /** Is there an input on which a state of `first` loops, one of `second` loops, and which leads from the one to the other? */
  #overtakes(first: readonly number[], second: readonly number[]): boolean {
    return first.some((p) => second.some((q) => this.#reachesTriple(p, q)));
  }

  #reachesTriple(p: number, q: number): boolean {
    const target = `${p},${q},${q}`;
    const open: (readonly [number, number, number])[] = [[p, p, q]];
    const seen = new Set<string>();
    for (let triple = open.pop(); triple !== undefined; triple = open.pop()) {
      for (const to of this.#steppedTriples(triple)) {
        const key = to.join(",");
        if (key === target) return true;
        if (seen.has(key)) continue;
        seen.add(key);
        open.push(to);
      }
    }
    return false;
  }

  *#steppedTriples(triple: readonly [number, number, number]): Generator<readonly [number, number, number]> {
    for (const a of this.#next(triple[0]).keys()) {
      if (this.#componentOf.get(a) !== this.#componentOf.get(triple[0])) continue;
      for (const c of this.#next(triple[2]).keys()) {
        this.#count();
        if (this.#componentOf.get(c) !== this.#componentOf.get(triple[2]) || !this.#meet(a, c)) continue;
        for (const b of this.#next(triple[1]).keys()) {
          this.#count();
          if (this.#meet(a, b) && this.#meet(b, c)) yield [a, b, c];
        }
      }
    }
  }

  #next(state: number): ReadonlyMap<number, number> {
    return this.#automaton.edges[state] ?? new Map();
  }

  /** Pairwise meeting stands for meeting all at once: it errs on the side of refusing. */
  #meet(a: number, b: number): boolean {
    return a === b || overlaps(this.#automaton.sets[a] ?? [], this.#automaton.sets[b] ?? []);
  }

  #count(): void {
    if (++this.#steps > MAX_STEPS) throw new TooComplex();
  }
}

function pairKey(a: number, b: number): string {
  return `${a},${b}`;
}

function isDiagonal(key: string): boolean {
  const [a, b] = key.split(",");
  return a === b;
}

/** Strongly connected components that contain a cycle, in topological order reversed (Tarjan, without recursion). */
function loopsOf(automaton: Automaton): readonly (readonly number[])[] {
  return componentsOf(automaton).filter(
    (states) => states.length > 1 || states.some((state) => automaton.edges[state]?.has(state) === true),
  );
}

/** All strongly connected components; a component comes after those that it leads to. */
export function componentsOf(automaton: Automaton): readonly (readonly number[])[] {
  const order = new Map<number, number>();
  const low: number[] = [];
  const waiting: number[] = [];
  const isWaiting = new Set<number>();
  const components: number[][] = [];
  const enter = (state: number) => {
    low[state] = order.size;
    order.set(state, order.size);
    waiting.push(state);
    isWaiting.add(state);
    return { state, targets: [...(automaton.edges[state]?.keys() ?? [])], at: 0 };
  };
  const lower = (state: number, to: number) => (low[state] = Math.min(low[state] ?? 0, to));
  for (const root of automaton.sets.keys()) {
    const path = order.has(root) ? [] : [enter(root)];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const to = top.targets[top.at++];
      if (to !== undefined) {
        if (!order.has(to)) path.push(enter(to));
        else if (isWaiting.has(to)) lower(top.state, order.get(to) ?? 0);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) lower(parent.state, low[top.state] ?? 0);
      if (low[top.state] !== order.get(top.state)) continue;
      const states = waiting.splice(waiting.indexOf(top.state));
      for (const state of states) isWaiting.delete(state);
      components.push(states);
    }
  }
  return components;
}
