import { MessagingService } from "../../src/service/service.ts";
import type { Harness } from "../../src/testing/conformance/harness.ts";
import { bullmqAt } from "./child-bullmq.ts";
import { childAt } from "./child-address.ts";
import type { TestServer } from "./servers/redis.ts";

/** The BullMQ broker on a Redis of its own, as the conformance suite takes it. */
export function bullmqHarness(server: () => TestServer): Harness {
  return {
    name: "bullmq",
    create: ({ place, address, longLeases }) =>
      bullmqAt(place, address ?? server().address, longLeases === true ? "long" : "short"),
    createService: (options) => new MessagingService(options),
    get child() {
      return childAt("child-bullmq.ts", server().address);
    },
    get server() {
      return server();
    },
    scale: 0.02,
    patienceMs: 20_000,
  };
}
