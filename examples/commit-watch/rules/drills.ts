import type { Rule } from "./rule.ts";

/** A rule that is broken for one commit until somebody repairs it. */
export interface BrokenRule extends Rule {
  /** True when it was broken until now. */
  repair(): boolean;
}

/**
 * A drill: finds nothing, and fails the first time it runs, as a rule does whose service is briefly away. The retry
 * policy of the manifest brings the commit back, and nobody has to do anything.
 */
export function failsOnce(): Rule {
  let ran = false;
  return {
    name: "drill-once",
    check() {
      if (ran) return [];
      ran = true;
      throw new Error("Drill: this rule fails the first time it runs.");
    },
  };
}

/**
 * A drill: finds nothing, and fails for the first commit that it sees however often it is tried, as a rule does that has
 * a bug. The commit becomes a dead letter; once the rule is repaired it can be sent back.
 */
export function failsUntilRepaired(): BrokenRule {
  let broken = true;
  let stumblesOver: string | undefined;
  return {
    name: "drill-bug",
    check({ sha }) {
      stumblesOver ??= sha;
      if (broken && sha === stumblesOver)
        throw new Error("Drill: this rule fails for one commit until it is repaired.");
      return [];
    },
    repair() {
      const wasBroken = broken;
      broken = false;
      return wasBroken;
    },
  };
}
