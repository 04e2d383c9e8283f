import { sagaCases } from "../support/saga-cases.ts";
import { fileStores, memoryStores } from "../support/stores.ts";

sagaCases(memoryStores);
sagaCases(fileStores);
