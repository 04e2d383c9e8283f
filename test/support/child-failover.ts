import { FailoverBroker, type FailoverBrokerOptions } from "../../src/brokers/failover/broker.ts";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, ChildModule } from "../../src/testing/conformance/harness.ts";
import { redisAt } from "./child-redis.ts";

const asked = new URL(import.meta.url).searchParams;

/** Short, so that what a dead process held comes back soon. */
const LEASE_MS = 1500;

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

/** Redis, and files in a folder. */
export function failoverAt(
  at: { readonly place: string; readonly directory: string },
  address: Address,
  options: Partial<FailoverBrokerOptions> = {},
): FailoverBroker {
  return new FailoverBroker({
    ...QUICK,
    primary: redisAt(at.place, address),
    fallback: new FileBroker({ directory: at.directory, leaseMs: LEASE_MS }),
    ...options,
  });
}
