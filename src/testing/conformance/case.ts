import type { CheckOptions } from "../checker/options.ts";
import type { CaseContext } from "./context.ts";
import type { Need } from "./harness.ts";

/** One case of the suite. */
export interface ConformanceCase {
  /** `a01-roundtrip`: the letter is the group, the number the case of the published list; cases of the contract have no number. */
  readonly id: string;
  readonly group: string;
  /** A sentence that can be false. */
  readonly title: string;
  /** All of these, or the case does not apply. */
  readonly needs?: readonly Need[];
  /** Runs on a stepped clock where the broker takes one. */
  readonly stepped?: boolean;
  /** It does so much at once that a slow machine would end a short lease, and waits for the end of none. */
  readonly longLeases?: boolean;
  /** What its history is held to, beside what holds for all. */
  readonly check?: CheckOptions;
  /** Fewer acknowledged messages make the run vacuous. Scaled like the counts. */
  readonly acked: number;
  /** Fewer injected faults make the run vacuous. */
  readonly faults?: number;
  /** Default 120,000. */
  readonly timeoutMs?: number;
  run(context: CaseContext): Promise<void>;
}
