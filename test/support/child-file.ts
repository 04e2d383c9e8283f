import path from "node:path";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { ChildModule } from "../../src/testing/conformance/harness.ts";

const asked = new URL(import.meta.url).searchParams;

/** The file broker in another process; the query of this module's URL says below which folder the places lie. */
export const createBroker: ChildModule["createBroker"] = (place) =>
  fileAt(path.join(asked.get("root") as string, place));

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/** A file broker over a folder, with leases short enough to wait for, or `long`. */
export function fileAt(directory: string, leases: "short" | "long" = "short"): FileBroker {
  return new FileBroker({ directory, leaseMs: leases === "long" ? 30_000 : 1500 });
}
