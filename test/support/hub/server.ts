import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { MemoryBroker } from "../../../src/brokers/memory/broker.ts";
import type {
  Broker,
  BrokerPublishOptions,
  Subscription,
  SubscriptionSpec,
} from "../../../src/core/broker.ts";
import type { Delivery, Settlement } from "../../../src/core/delivery.ts";
import { toHeraldError } from "../../../src/core/errors.ts";
import { MemoryInbox } from "../../../src/stores/memory-inbox.ts";
import type { ChildModule } from "../../../src/testing/conformance/harness.ts";
import { createBroker, createService } from "./child.ts";
import { onLines, pack, unpack, type Call, type Packed } from "./wire.ts";

/** A memory broker that other processes reach over a socket: for trying what kills processes, without a real server. */
export interface Hub extends AsyncDisposable {
  readonly port: number;
  /** URL of the module that other processes reach it by. */
  readonly child: string;
  /** The same for this process. */
  readonly own: ChildModule;
}

/** Starts a hub on loopback. `wrap` puts something between the clients and the broker of a place. */
export async function startHub(wrap: (broker: Broker) => Broker = (broker) => broker): Promise<Hub> {
  const places = new Map<string, { readonly broker: Broker; readonly inbox: MemoryInbox }>();
  const place = async (name: string) => {
    let found = places.get(name);
    if (found === undefined) {
      found = { broker: wrap(new MemoryBroker()), inbox: new MemoryInbox() };
      places.set(name, found);
      await found.broker.open();
    }
    return found;
  };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.once("close", () => sockets.delete(socket)));
    const client = new Client(socket, place);
    onLines(socket, (call) => void client.answer(call as Call));
    socket.on("error", () => undefined).on("close", () => void client.gone());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const address = { host: "127.0.0.1", port };
  return {
    port,
    child: new URL(`child.ts?port=${port}`, import.meta.url).href,
    own: { createBroker: (name) => createBroker(name, { address }), createService },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      for (const { broker } of places.values()) await broker.close();
    },
  };
}

type Place = (name: string) => Promise<{ readonly broker: Broker; readonly inbox: MemoryInbox }>;

interface Held {
  readonly subscription: Subscription;
  readonly delivery: Delivery;
}

class Client {
  readonly #socket: Socket;
  readonly #place: Place;
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #held = new Map<number, Held>();
  readonly #claims = new Map<string, () => void>();
  #numbers = 0;
  #isGone = false;

  constructor(socket: Socket, place: Place) {
    this.#socket = socket;
    this.#place = place;
  }

  async answer({ n, op, args }: Call): Promise<void> {
    try {
      const value = await this.#run(op, args);
      this.#socket.write(`${JSON.stringify({ n, value })}\n`);
    } catch (thrown) {
      const { code, message } = toHeraldError(thrown);
      this.#socket.write(`${JSON.stringify({ n, error: { code, message } })}\n`);
    }
  }

  /** What a dead client held is given back, counted. */
  async gone(): Promise<void> {
    this.#isGone = true;
    for (const abandon of this.#claims.values()) abandon();
    for (const subscription of this.#subscriptions.values()) await subscription.close();
    for (const { subscription, delivery } of this.#held.values())
      await subscription.settle([{ kind: "nack", delivery, delayMs: 0 }]);
  }

  async #run(op: string, [name, ...args]: readonly unknown[]): Promise<unknown> {
    const { broker, inbox } = await this.#place(name as string);
    switch (op) {
      case "publish": {
        const envelopes = (args[0] as Packed[]).map(unpack);
        return broker.publish(envelopes, args[1] as BrokerPublishOptions);
      }
      case "subscribe":
        this.#subscriptions.set(++this.#numbers, await broker.subscribe(args[0] as SubscriptionSpec));
        return this.#numbers;
      case "receive":
        return this.#receive(args[0] as number, args[1] as number, args[2] as number);
      case "settle":
        return this.#settle(args[0] as { kind: string; receipt: number }[]);
      case "close":
        return this.#subscriptions.get(args[0] as number)?.close();
      case "inspect":
        return broker.inspect(args[0] as object);
      case "claim":
        return this.#claim(inbox, args[0] as string, args[1] as string);
      case "commit":
        this.#claims.delete(`${args[0] as string} ${args[1] as string}`);
        return inbox.commit(args[0] as string, args[1] as string);
      case "abandon":
        this.#claims.delete(`${args[0] as string} ${args[1] as string}`);
        return inbox.abandon(args[0] as string, args[1] as string);
      default:
        return this.#admin(broker, op, args);
    }
  }

  async #admin(broker: Broker, op: string, args: readonly unknown[]): Promise<unknown> {
    const admin = broker.admin as unknown as Record<
      string,
      (...args: readonly unknown[]) => Promise<unknown>
    >;
    const value = await admin[op]?.(...args);
    if (op !== "browse") return value;
    return (value as { envelope: Parameters<typeof pack>[0]; position: string }[]).map((entry) => ({
      ...entry,
      envelope: pack(entry.envelope),
    }));
  }

  async #receive(number: number, limit: number, waitMs: number): Promise<unknown> {
    const subscription = this.#subscriptions.get(number) as Subscription;
    const deliveries = await subscription.receive(limit, waitMs);
    if (this.#isGone)
      await subscription.settle(deliveries.map((delivery) => ({ kind: "release", delivery, delayMs: 0 })));
    return deliveries.map((delivery) => {
      this.#held.set(++this.#numbers, { subscription, delivery });
      const { envelope, attempt, position, leaseMs, failures } = delivery;
      return { envelope: pack(envelope), attempt, position, leaseMs, failures, receipt: this.#numbers };
    });
  }

  async #settle(settlements: readonly { readonly kind: string; readonly receipt: number }[]): Promise<void> {
    for (const { receipt, ...settlement } of settlements) {
      const held = this.#held.get(receipt);
      if (held === undefined) continue;
      if (settlement.kind !== "extend") this.#held.delete(receipt);
      await held.subscription.settle([{ ...settlement, delivery: held.delivery } as Settlement]);
    }
  }

  #claim(inbox: MemoryInbox, group: string, id: string): string {
    const state = inbox.claim(group, id);
    if (state === "new") this.#claims.set(`${group} ${id}`, () => inbox.abandon(group, id));
    return state;
  }
}
