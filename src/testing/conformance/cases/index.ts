import type { ConformanceCase } from "../types.ts";
import { basicCases } from "./a-basics.ts";
import { contentCases } from "./a-content.ts";
import { patternCases } from "./a-patterns.ts";
import { abilityCases } from "./abilities.ts";
import { groupCases } from "./b-groups.ts";
import { orderCases } from "./b-order.ts";
import { settleCases } from "./c-settle.ts";
import { timeCases } from "./d-time.ts";
import { limitCases } from "./g-limits.ts";
import { lifecycleCases } from "./h-lifecycle.ts";

/** Every case, in the order they are run. */
export const CASES: readonly ConformanceCase[] = [
  ...abilityCases,
  ...basicCases,
  ...patternCases,
  ...contentCases,
  ...groupCases,
  ...orderCases,
  ...settleCases,
  ...timeCases,
  ...limitCases,
  ...lifecycleCases,
];
