import { KEEPER } from "../../src/brokers/redis/keys.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Harness, OperatorControl } from "../../src/testing/conformance/harness.ts";
import { redisAt } from "./child-redis.ts";
import { childAt } from "./child-address.ts";
import type { TestServer } from "./servers/redis.ts";

/** The Redis broker on a Redis of its own, as the conformance suite takes it. */
export function redisHarness(server: () => TestServer): Harness {
  return {
    name: "redis",
    patienceMs: 30_000,
    create: ({ place, address, longLeases }) =>
      redisAt(place, address ?? server().address, longLeases === true ? "long" : "short"),
    createService: (options) => new MessagingService(options),
    get child() {
      return childAt("child-redis.ts", server().address);
    },
    get server() {
      return server();
    },
    get operator() {
      return operatorOf(server());
    },
    scale: 0.05,
  };
}

/** What `redis-cli` can do to a place. Names of keys are as the page of the broker tells them. */
function operatorOf(server: TestServer): OperatorControl {
  const key = (place: string, channel: string) => `herald:${place}:{${channel}}`;
  const lanes = async (place: string, channel: string) =>
    ((await server.command("KEYS", `${key(place, channel)}*`)) as readonly string[]).filter(
      (name) => name === key(place, channel) || name.endsWith(":keyed"),
    );
  return {
    async consumers(place, channel, group) {
      const names = new Set<string>();
      for (const lane of await lanes(place, channel)) {
        const infos = (await server.command("XINFO", "CONSUMERS", lane, group)) as readonly string[][];
        for (const [, name] of infos) if (name !== undefined && name !== KEEPER) names.add(name);
      }
      return names.size;
    },
    async dropGroup(place, channel, group) {
      for (const lane of await lanes(place, channel)) await server.command("XGROUP", "DESTROY", lane, group);
    },
    async dropChannel(place, channel) {
      await server.command("DEL", key(place, channel));
    },
    async trim(place, channel, keep) {
      await server.command("XTRIM", key(place, channel), "MAXLEN", String(keep));
    },
  };
}
