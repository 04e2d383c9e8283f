import { eventStoreCases } from "../support/event-store-cases.ts";
import { fileStores, memoryStores } from "../support/stores.ts";

eventStoreCases(memoryStores);
eventStoreCases(fileStores);
