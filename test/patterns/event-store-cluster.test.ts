import { eventStoreCases } from "../support/event-store-cases.ts";
import { sagaCases } from "../support/saga-cases.ts";
import { clusterStores } from "../support/stores.ts";

eventStoreCases(clusterStores);
sagaCases(clusterStores);
