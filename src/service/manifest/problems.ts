import type { Segment } from "../schema/path.ts";
import type { Dialect } from "./model.ts";

/** One thing that is wrong, or worth knowing, at one place of a manifest. */
export interface Problem {
  readonly segments: readonly Segment[];
  /** A clause that follows the name of the place: `must be …, not …`. */
  readonly message: string;
  readonly expected?: string;
  readonly hint?: string;
  /** The key itself is meant, not its value. */
  readonly onKey?: boolean;
}

/** Problems beyond this many are not looked for. */
const MAX_PROBLEMS = 100;

/** Gathers everything that is found while a manifest is read, so that all of it can be told at once. */
export class Problems {
  readonly errors: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** What was met that only one dialect writes, by dialect. */
  readonly #marks: Record<Dialect, Set<string>> = { D1: new Set(), D2: new Set() };

  /** True once so many errors are known that looking for more helps nobody. */
  get full(): boolean {
    return this.errors.length >= MAX_PROBLEMS;
  }

  error(problem: Problem): void {
    if (!this.full) this.errors.push(problem);
  }

  warn(problem: Problem): void {
    if (this.warnings.length < MAX_PROBLEMS) this.warnings.push(problem);
  }

  /** Remembers a spelling that only one dialect has. */
  mark(dialect: Dialect, spelling: string): void {
    this.#marks[dialect].add(spelling);
  }

  /** D2, the released dialect, unless only spellings of D1 were met. */
  get dialect(): Dialect {
    return this.#marks.D1.size > 0 && this.#marks.D2.size === 0 ? "D1" : "D2";
  }

  /** What each dialect was recognised by, if both were: no validator of one dialect takes such a manifest. */
  get mixture(): { readonly D1: readonly string[]; readonly D2: readonly string[] } | undefined {
    const { D1, D2 } = this.#marks;
    return D1.size > 0 && D2.size > 0 ? { D1: [...D1], D2: [...D2] } : undefined;
  }
}
