import type { ConformanceCase } from "../case.ts";
import { basicCases } from "./a-basics.ts";
import { contentCases } from "./a-content.ts";
import { patternCases } from "./a-patterns.ts";
import { abilityCases } from "./abilities.ts";
import { groupCases } from "./b-groups.ts";
import { orderCases } from "./b-order.ts";
import { deadLetterCases } from "./c-dead-letters.ts";
import { retryCases } from "./c-retry.ts";
import { settleCases } from "./c-settle.ts";
import { expiryCases } from "./d-expiry.ts";
import { timeCases } from "./d-time.ts";
import { declaredCases } from "./declared.ts";
import { requestCases } from "./e-requests.ts";
import { onceCases } from "./f-once.ts";
import { limitCases } from "./g-limits.ts";
import { diskCases } from "./i-disk.ts";
import { killCases } from "./i-kills.ts";
import { operatorCases } from "./i-operator.ts";
import { serverCases } from "./i-servers.ts";
import { failoverCases } from "./j-failover.ts";
import { lifecycleCases } from "./h-lifecycle.ts";
import { serviceCases } from "./h-service.ts";

/** Every case, in the order they are run: what a broker can do first, what is built on it later. */
export const CASES: readonly ConformanceCase[] = [
  ...abilityCases,
  ...basicCases,
  ...patternCases,
  ...settleCases,
  ...groupCases,
  ...orderCases,
  ...timeCases,
  ...limitCases,
  ...lifecycleCases,
  ...contentCases,
  ...retryCases,
  ...deadLetterCases,
  ...expiryCases,
  ...requestCases,
  ...onceCases,
  ...serviceCases,
  ...killCases,
  ...diskCases,
  ...serverCases,
  ...operatorCases,
  ...failoverCases,
  ...declaredCases,
];
