import { FailoverBroker, type FailoverBrokerOptions } from "../../src/brokers/failover/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, ChildModule } from "../../src/testing/conformance/harness.ts";
import { fileAt } from "./child-file.ts";
import { redisAt } from "./child-redis.ts";

const asked = new URL(import.meta.url).searchParams;

/** A mode that is decided quickly, so that cases in real time do not wait. */
export const QUICK: Pick<FailoverBrokerOptions, "coordination" | "openDeadlineMs"> = {
  coordination: {
    healthCheckInterval: 100,
    retryInterval: 50,
    holdDownMs: 150,
    transitionCooldown: 50,
  },
  openDeadlineMs: 1000,
};

/** The failover broker of the harness in another process; the query of this module's URL says where Redis and the files are. */
export const createBroker: ChildModule["createBroker"] = (place, options = {}) =>
  failoverAt(
    { place, directory: `${asked.get("root")}/${place}` },
    options.address ?? { host: "127.0.0.1", port: Number(asked.get("port")) },
  );

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/** Redis, and files in a folder, with leases short enough to wait for, or `long`. */
export function failoverAt(
  at: { readonly place: string; readonly directory: string; readonly leases?: "short" | "long" },
  address: Address,
  options: Partial<FailoverBrokerOptions> = {},
): FailoverBroker {
  return new FailoverBroker({
    ...QUICK,
    primary: redisAt(at.place, address, at.leases),
    fallback: fileAt(at.directory, at.leases),
    ...options,
  });
}
