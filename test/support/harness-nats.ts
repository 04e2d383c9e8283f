import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { consumerOf } from "../../src/brokers/nats/names.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Harness, OperatorControl } from "../../src/testing/conformance/harness.ts";
import { natsAt } from "./child-nats.ts";
import { childAt } from "./child-address.ts";
import type { TestNats } from "./servers/nats.ts";

/** The NATS broker on a server of its own, as the conformance suite takes it. */
export function natsHarness(server: () => TestNats): Harness {
  return {
    name: "nats",
    patienceMs: 30_000,
    create: ({ place, address, longLeases }) =>
      natsAt(place, address ?? server().address, [], longLeases === true ? "long" : "short"),
    createService: (options) => new MessagingService(options),
    get child() {
      return childAt("child-nats.ts", server().address);
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

/** What the `nats` command can do to a place. Names are as the page of the broker tells them. */
function operatorOf(server: TestNats): OperatorControl {
  const managed = async <T>(task: (manager: JetStreamManager) => Promise<T>): Promise<T> => {
    const connection = await connect({ servers: `127.0.0.1:${server.port}` });
    try {
      return await task(await jetstreamManager(connection));
    } finally {
      await connection.close();
    }
  };
  return {
    consumers: (place, channel, group) =>
      managed(async (manager) => {
        let count = 0;
        for await (const { name } of manager.consumers.list(place))
          if (name === consumerOf(channel, group)) count++;
        return count;
      }),
    dropGroup: (place, channel, group) =>
      managed(async (manager) => void (await manager.consumers.delete(place, consumerOf(channel, group)))),
    dropChannel: (place, channel) =>
      managed(async (manager) => {
        for await (const { name, config } of manager.consumers.list(place))
          if (config.filter_subject === `${place}.${channel}`) await manager.consumers.delete(place, name);
        await manager.streams.purge(place, { filter: `${place}.${channel}` });
      }),
    trim: (place, channel, keep) =>
      managed(
        async (manager) => void (await manager.streams.purge(place, { filter: `${place}.${channel}`, keep })),
      ),
  };
}
