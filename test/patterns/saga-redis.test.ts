import { sagaCases } from "../support/saga-cases.ts";
import { redisStores } from "../support/stores.ts";

sagaCases(redisStores);
