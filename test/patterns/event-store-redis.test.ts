import { eventStoreCases } from "../support/event-store-cases.ts";
import { redisStores } from "../support/stores.ts";

eventStoreCases(redisStores);
