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
const MAX_STEPS = 300_000;

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
  readonly #size: number;
  #steps = 0;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
    this.#size = automaton.sets.length;
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
    for (const index of this.components.keys()) {
      for (const other of this.components.keys()) {
        if (index !== other && this.#overtakes(index, other)) return true;
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
    const sources = this.#pairSources(states, index);
    const open = states.map((state) => this.#pair(state, state));
    const seen = new Set(open);
    for (let pair = open.pop(); pair !== undefined; pair = open.pop()) {
      for (const source of sources.get(pair) ?? []) {
        if (seen.has(source)) continue;
        if (Math.floor(source / this.#size) !== source % this.#size) return true;
        seen.add(source);
        open.push(source);
      }
    }
    return false;
  }

  /** Pairs of states that can be reached from one state on one input: by each, the pairs it is reached from. */
  #pairSources(states: readonly number[], index: number): ReadonlyMap<number, readonly number[]> {
    const sources = new Map<number, number[]>();
    const open = states.map((state) => this.#pair(state, state));
    const seen = new Set(open);
    for (let pair = open.pop(); pair !== undefined; pair = open.pop()) {
      const from = [Math.floor(pair / this.#size), pair % this.#size] as const;
      for (const a of this.#within(from[0], index)) {
        for (const b of this.#within(from[1], index)) {
          if (!this.#meet(a, b)) continue;
          const to = this.#pair(a, b);
          const known = sources.get(to);
          if (known === undefined) sources.set(to, [pair]);
          else known.push(pair);
          if (!seen.has(to)) open.push(to);
          seen.add(to);
        }
      }
    }
    return sources;
  }

  /** Is there an input on which a state of `first` loops, one of `second` loops, and which leads from the one to the other? */
  #overtakes(first: number, second: number): boolean {
    const starts = this.components[first] ?? [];
    const ends = this.components[second] ?? [];
    return starts.some((p) => ends.some((q) => this.#reachesTriple([p, first], [q, second])));
  }

  #reachesTriple([p, first]: StateIn, [q, second]: StateIn): boolean {
    const target = this.#triple(p, q, q);
    const open = [[p, p, q] as const];
    const seen = new Set<number>();
    for (let from = open.pop(); from !== undefined; from = open.pop()) {
      for (const a of this.#within(from[0], first)) {
        for (const c of this.#within(from[2], second)) {
          if (!this.#meet(a, c)) continue;
          for (const b of this.#next(from[1]).keys()) {
            if (!this.#meet(a, b) || !this.#meet(b, c)) continue;
            const to = this.#triple(a, b, c);
            if (to === target) return true;
            if (!seen.has(to)) open.push([a, b, c]);
            seen.add(to);
          }
        }
      }
    }
    return false;
  }

  /** Next states that stay in a component. */
  #within(state: number, component: number): readonly number[] {
    return [...this.#next(state).keys()].filter((to) => this.#componentOf.get(to) === component);
  }

  #pair(a: number, b: number): number {
    return a * this.#size + b;
  }

  #triple(a: number, b: number, c: number): number {
    return this.#pair(this.#pair(a, b), c);
  }

  #next(state: number): ReadonlyMap<number, number> {
    return this.#automaton.edges[state] ?? new Map();
  }

  /** Pairwise meeting stands for meeting all at once: it errs on the side of refusing. */
  #meet(a: number, b: number): boolean {
    if (++this.#steps > MAX_STEPS) throw new TooComplex();
    return a === b || overlaps(this.#automaton.sets[a] ?? [], this.#automaton.sets[b] ?? []);
  }
}

/** A state and the component it is in. */
type StateIn = readonly [state: number, component: number];

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
