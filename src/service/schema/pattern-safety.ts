import { componentsOf, judgeGrowth, TooComplex, type Automaton } from "./automaton.ts";
import { regexAutomaton, type RegexAutomaton } from "./regex-automaton.ts";
import { parseRegex, UnreadableRegex } from "./regex-parse.ts";

/** Longest pattern that is read, in characters. */
const MAX_PATTERN_LENGTH = 1000;
/** Ways that may lie open at one character without a loop being the cause, such as the words of a long choice. */
const MAX_WIDTH = 10_000;
/** Steps of the matcher that one text may cost under a polynomial pattern. */
const MAX_MATCH_STEPS = 20_000_000;

/**
 * How a pattern behaves under a backtracking matcher. `safe`: time in proportion to the text. `bounded`: time grows with a
 * power of the length, so that texts must be kept to `maxLength` characters. `refused`: `reason` says why.
 */
export type PatternVerdict =
  | { readonly kind: "safe" }
  | { readonly kind: "bounded"; readonly maxLength: number }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * Judges a pattern of a JSON Schema (ECMA-262 with the flag `u`) without ever running it. Refused are: what is not a
 * pattern, what can take exponential time (`(a+)+`, `(a|a)*`, `(a|aa)+`), and what cannot be judged (back references,
 * inline modifiers, look-behind with a repetition, more than 1000 characters).
 */
export function judgePattern(source: string): PatternVerdict {
  if (source.length > MAX_PATTERN_LENGTH) return refuse(`it is longer than ${MAX_PATTERN_LENGTH} characters`);
  try {
    void new RegExp(source, "u");
  } catch (error) {
    return refuse(
      `it is not a regular expression: ${error instanceof Error ? reasonOf(error.message) : "unreadable"}`,
    );
  }
  try {
    return judge(regexAutomaton(parseRegex(source)));
  } catch (error) {
    if (error instanceof UnreadableRegex) return refuse(error.message);
    if (error instanceof TooComplex) return refuse("it is too complex to be checked");
    throw error;
  }
}

function judge(automaton: RegexAutomaton): PatternVerdict {
  // Judged whole, a repetition of a repetition is refused wherever it stands, also where it happens to do no harm.
  if (judgeGrowth(automaton).kind === "exponential" || width(automaton) > MAX_WIDTH) {
    return refuse("it can take exponential time, because it can match the same text in many ways");
  }
  const growth = judgeGrowth(withoutAccepting(automaton));
  if (growth.kind === "linear") return { kind: "safe" };
  return { kind: "bounded", maxLength: Math.floor(MAX_MATCH_STEPS ** (1 / Math.max(2, growth.loops))) };
}

/** The matcher never goes back behind a state in which the whole pattern has matched, so no slow loop leads through one. */
function withoutAccepting(automaton: RegexAutomaton): Automaton {
  const edges = automaton.edges.map((targets, state) =>
    automaton.accepting.has(state)
      ? new Map<number, number>()
      : new Map([...targets].filter(([target]) => !automaton.accepting.has(target))),
  );
  return { sets: automaton.sets, edges };
}

/** An upper bound of the ways that lie open at one character, loops not counted: they are judged by their growth. */
function width(automaton: RegexAutomaton): number {
  const widths = new Map<number, number>();
  for (const states of componentsOf(automaton)) {
    const choices = Math.max(
      ...states.map((state) => choicesOf(automaton, automaton.edges[state] ?? new Map())),
    );
    const beyond = states.flatMap((state) =>
      [...(automaton.edges[state]?.keys() ?? [])].map((to) => widths.get(to) ?? 1),
    );
    const total = Math.max(1, choices) * Math.max(1, ...beyond);
    for (const state of states) widths.set(state, total);
  }
  const starts = [...automaton.starts.keys()].map((state) => widths.get(state) ?? 1);
  return choicesOf(automaton, automaton.starts) * Math.max(1, ...starts);
}

/** How many of these ways one character can take at most: the most that lie over one point of the code points' line. */
function choicesOf(automaton: Automaton, targets: ReadonlyMap<number, number>): number {
  const ends: (readonly [at: number, change: number])[] = [];
  for (const [state, ways] of targets) {
    const set = automaton.sets[state] ?? [];
    for (let i = 0; i < set.length; i += 2) ends.push([set[i] ?? 0, ways], [(set[i + 1] ?? 0) + 1, -ways]);
  }
  ends.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let most = 0;
  let open = 0;
  for (const [, change] of ends) most = Math.max(most, (open += change));
  return most;
}

function refuse(reason: string): PatternVerdict {
  return { kind: "refused", reason };
}

/** V8 says `Invalid regular expression: /…/u: Nothing to repeat`; the last part is what helps. */
function reasonOf(message: string): string {
  return message.slice(message.lastIndexOf(": ") + 2).toLowerCase();
}
