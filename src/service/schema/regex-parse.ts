import { ANY, DIGITS, LINE_ENDS, negate, single, SPACE, union, WORD, type CharSet } from "./char-set.ts";

/** A regular expression as a tree, as far as the time it takes depends on it. */
export type RegexNode =
  | { readonly kind: "chars"; readonly set: CharSet }
  | { readonly kind: "sequence"; readonly items: readonly RegexNode[] }
  | { readonly kind: "choice"; readonly items: readonly RegexNode[] }
  | { readonly kind: "repeat"; readonly item: RegexNode; readonly min: number; readonly max: number }
  | { readonly kind: "look"; readonly item: RegexNode; readonly behind: boolean }
  | { readonly kind: "start" }
  | { readonly kind: "end" }
  /** `\b` and `\B`: takes no characters, but may fail. */
  | { readonly kind: "boundary" };

/** What the parser does not read: its time cannot be judged from the tree. */
export class UnreadableRegex extends Error {}

/**
 * Reads a pattern that `new RegExp(source, "u")` accepts (ECMA-262, section 22.2.1 with the flag `u`). Throws
 * {@link UnreadableRegex} for back references and inline modifiers.
 */
export function parseRegex(source: string): RegexNode {
  const reader = new Reader(source);
  return reader.choice();
}

const ESCAPED_CONTROL: Readonly<Record<string, number>> = {
  f: 0x0c,
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
  v: 0x0b,
  "0": 0,
};
const ESCAPED_CLASS: Readonly<Record<string, CharSet>> = {
  d: DIGITS,
  D: negate(DIGITS),
  s: SPACE,
  S: negate(SPACE),
  w: WORD,
  W: negate(WORD),
};

class Reader {
  readonly #chars: readonly string[];
  #at = 0;

  constructor(source: string) {
    this.#chars = Array.from(source);
  }

  choice(): RegexNode {
    const items = [this.#sequence()];
    while (this.#take("|")) items.push(this.#sequence());
    const [only] = items;
    return items.length === 1 && only !== undefined ? only : { kind: "choice", items };
  }

  #sequence(): RegexNode {
    const items: RegexNode[] = [];
    while (this.#at < this.#chars.length && !this.#peek("|") && !this.#peek(")"))
      items.push(this.#quantified());
    return { kind: "sequence", items };
  }

  #quantified(): RegexNode {
    const item = this.#term();
    const bounds = this.#quantifier();
    if (bounds === undefined) return item;
    this.#take("?");
    return { kind: "repeat", item, min: bounds[0], max: bounds[1] };
  }

  #quantifier(): readonly [number, number] | undefined {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    if (!this.#take("{")) return undefined;
    const [min = "", max = min] = this.#until("}").split(",");
    return [Number(min), max === "" ? Infinity : Number(max)];
  }

  #term(): RegexNode {
    const char = this.#next();
    if (char === "^") return { kind: "start" };
    if (char === "$") return { kind: "end" };
    if (char === ".") return { kind: "chars", set: negate(LINE_ENDS) };
    if (char === "(") return this.#group();
    if (char === "[") return { kind: "chars", set: this.#class() };
    if (char !== "\\") return { kind: "chars", set: single(char.codePointAt(0) ?? 0) };
    if (this.#take("b") || this.#take("B")) return { kind: "boundary" };
    return { kind: "chars", set: this.#escape() };
  }

  #group(): RegexNode {
    const make = this.#groupKind();
    const item = this.choice();
    this.#next();
    return make(item);
  }

  #groupKind(): (item: RegexNode) => RegexNode {
    if (!this.#take("?") || this.#take(":")) return (item) => item;
    if (this.#take("=") || this.#take("!")) return (item) => ({ kind: "look", item, behind: false });
    if (!this.#take("<")) throw new UnreadableRegex("inline modifiers such as (?i:…) are not supported");
    if (this.#take("=") || this.#take("!")) return (item) => ({ kind: "look", item, behind: true });
    this.#until(">");
    return (item) => item;
  }

  #class(): CharSet {
    const negated = this.#take("^");
    const parts: CharSet[] = [];
    while (!this.#take("]")) {
      const from = this.#classAtom();
      if (!this.#peek("-") || this.#chars[this.#at + 1] === "]") {
        parts.push(from);
        continue;
      }
      this.#next();
      parts.push([from[0] ?? 0, this.#classAtom()[0] ?? 0]);
    }
    const set = union(parts);
    if (!negated) return set;
    // A class with a property in it is read as every character, so its negation has to be as wide.
    return set[0] === ANY[0] && set[1] === ANY[1] ? ANY : negate(set);
  }

  #classAtom(): CharSet {
    const char = this.#next();
    if (char !== "\\") return single(char.codePointAt(0) ?? 0);
    if (this.#take("b")) return single(0x08);
    return this.#escape();
  }

  #escape(): CharSet {
    const char = this.#next();
    const known = ESCAPED_CLASS[char];
    if (known !== undefined) return known;
    if (char === "p" || char === "P") {
      this.#until("}");
      return ANY;
    }
    if (char === "k" || (char >= "1" && char <= "9")) {
      throw new UnreadableRegex("back references such as \\1 or \\k<name> are not supported");
    }
    return single(this.#escapedCodePoint(char));
  }

  #escapedCodePoint(char: string): number {
    const control = ESCAPED_CONTROL[char];
    if (control !== undefined) return control;
    if (char === "c") return (this.#next().codePointAt(0) ?? 0) % 32;
    if (char === "x") return this.#hex(2);
    if (char !== "u") return char.codePointAt(0) ?? 0;
    if (this.#take("{")) return Number.parseInt(this.#until("}"), 16);
    const high = this.#hex(4);
    if (high < 0xd800 || high > 0xdbff || !this.#peek("\\") || this.#chars[this.#at + 1] !== "u") return high;
    const before = this.#at;
    this.#at += 2;
    const low = this.#peek("{") ? 0 : this.#hex(4);
    if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
    this.#at = before;
    return high;
  }

  #hex(digits: number): number {
    const text = this.#chars.slice(this.#at, this.#at + digits).join("");
    this.#at += digits;
    return Number.parseInt(text, 16);
  }

  #until(end: string): string {
    let text = "";
    for (let char = this.#next(); char !== end; char = this.#next()) text += char;
    return text;
  }

  #peek(char: string): boolean {
    return this.#chars[this.#at] === char;
  }

  #take(char: string): boolean {
    if (!this.#peek(char)) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const char = this.#chars[this.#at];
    if (char === undefined) throw new UnreadableRegex("the pattern ends too early");
    this.#at++;
    return char;
  }
}
