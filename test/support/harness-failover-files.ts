import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { Broker } from "../../src/core/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, Harness } from "../../src/testing/conformance/harness.ts";
import { failoverAt } from "./child-failover.ts";
import { natsAt } from "./child-nats.ts";
import { rabbitAt } from "./child-rabbitmq.ts";
import { controlOf } from "./harness-rabbitmq.ts";
import type { ServerHandle } from "./servers/handle.ts";
import type { TestNats } from "./servers/nats.ts";
import type { TestRabbit } from "./servers/rabbitmq.ts";

/** Nothing listens there. */
const NOWHERE = { host: "127.0.0.1", port: 1 };

/** A primary on a server, and what can be done to it. */
interface Primary {
  readonly name: string;
  readonly server: () => ServerHandle;
  readonly at: (place: string, address: Address) => Broker;
  readonly kill: () => Promise<void>;
  readonly empty: () => Promise<void>;
}

/** Failover from a NATS server of its own to files. The server must stand before the first case; the folder goes with this process. */
export function failoverNatsFileHarness(server: () => TestNats): Harness {
  const kill = () => server().kill();
  return toFiles({ name: "nats", server, at: natsAt, kill, empty: () => emptied(server()) });
}

/** {@link failoverNatsFileHarness} from a RabbitMQ. */
export function failoverRabbitFileHarness(server: () => TestRabbit): Harness {
  const kill = () => controlOf(server()).kill();
  const empty = () => server().evaluate("rabbit:stop(), rabbit_db:reset(), rabbit:start()");
  return toFiles({ name: "rabbitmq", server, at: rabbitAt, kill, empty });
}

function toFiles({ name, server, at, kill, empty }: Primary): Harness {
  const root = scratch("herald-failover-");
  process.once("exit", () => rmSync(root, { recursive: true, force: true }));
  let neighbours = 0;
  const made = (place: string, folder: string, address: Address, isJournal = false) =>
    failoverAt({ place, directory: path.join(root, folder) }, address, {
      primary: at(place, address),
      durability: isJournal ? "journal" : "primary",
    });
  return {
    name: `failover(${name}, file)`,
    create: ({ place, address }) => made(place, place, address ?? server().address),
    createService: (options) => new MessagingService(options),
    scale: 0.02,
    patienceMs: 20_000,
    primary: {
      kill,
      start: () => server().start(),
      pause: () => server().pause(),
      resume: () => server().resume(),
      empty,
      copy: async () => copyOf(server().folder),
      broker(kind, { place }) {
        const folder = kind === "neighbour" ? `${place}-n${++neighbours}` : place;
        const address = kind === "cutOff" ? NOWHERE : server().address;
        const broker = made(place, folder, address, kind === "journal");
        return { broker, control: broker.control };
      },
    },
  };
}

function scratch(prefix: string): string {
  return mkdtempSync(path.join(tmpdir(), prefix));
}

/** Deletes every stream of a server. */
async function emptied(server: TestNats): Promise<void> {
  const connection = await connect({ servers: `127.0.0.1:${server.port}` });
  const manager = await jetstreamManager(connection);
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name);
  await connection.close();
}

/** A copy of a server's folder; calling the result puts it in the place of what is there. */
function copyOf(folder: string): () => Promise<void> {
  const copy = scratch("herald-copy-");
  cpSync(folder, copy, { recursive: true });
  return async () => {
    rmSync(folder, { recursive: true });
    cpSync(copy, folder, { recursive: true });
    rmSync(copy, { recursive: true });
  };
}
