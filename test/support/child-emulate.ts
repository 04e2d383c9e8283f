import path from "node:path";
import { MessagingService } from "../../src/service/service.ts";
import type { ChildModule } from "../../src/testing/conformance/harness.ts";
import { fileAt } from "./child-file.ts";
import { emulated, type EmulatedName } from "./emulated.ts";

const asked = new URL(import.meta.url).searchParams;

/** A wrapper around a file broker in another process; the query of this module's URL says which, and where the files are. */
export const createBroker: ChildModule["createBroker"] = (place) =>
  emulated(asked.get("name") as EmulatedName, fileAt(path.join(asked.get("root") as string, place)));

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);
