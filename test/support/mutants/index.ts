import { deliveringMutants } from "./delivering.ts";
import type { Mutant } from "./mutant.ts";
import { publishingMutants } from "./publishing.ts";
import { subscribingMutants } from "./subscribing.ts";

/** Every seeded fault. The conformance suite must fail on each of them. */
export const MUTANTS: readonly Mutant[] = [...publishingMutants, ...deliveringMutants, ...subscribingMutants];
