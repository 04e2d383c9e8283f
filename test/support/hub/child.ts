import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type {
  Broker,
  BrokerAdmin,
  BrokerPublishOptions,
  BrokerReport,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../../../src/core/broker.ts";
import type { Delivery, Settlement } from "../../../src/core/delivery.ts";
import type { Envelope } from "../../../src/core/envelope.ts";
import { HeraldError } from "../../../src/core/errors.ts";
import type { Inbox } from "../../../src/core/store.ts";
import { MessagingService } from "../../../src/service/service.ts";
import type { Address } from "../../../src/testing/conformance/harness.ts";
import type { ServicePort, ServicePortOptions } from "../../../src/testing/service-port.ts";
import { onLines, pack, unpack, type Answer, type Packed, type PackedDelivery } from "./wire.ts";

const PORT = Number(new URL(import.meta.url).searchParams.get("port"));

/** A broker that is a hub's, reached over a socket. */
export function createBroker(
  place: string,
  { address = { host: "127.0.0.1", port: PORT } }: { readonly address?: Address } = {},
): Broker {
  return new HubBroker(place, address);
}

export function createService(options: ServicePortOptions): ServicePort {
  return new MessagingService(options);
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: HeraldError) => void;
}

class HubBroker implements Broker {
  readonly name = "hub";
  readonly #place: string;
  readonly #address: Address;
  readonly #waiting = new Map<number, Waiting>();
  #socket: Socket | undefined;
  #calls = 0;

  constructor(place: string, address: Address) {
    this.#place = place;
    this.#address = address;
  }

  async open(): Promise<Capabilities> {
    this.#socket = connect(this.#address.port, this.#address.host).on("error", () => undefined);
    onLines(this.#socket, (answer) => this.#answered(answer as Answer));
    this.#socket.on("close", () => {
      for (const { reject } of this.#waiting.values())
        reject(new HeraldError("PUBLISH_UNKNOWN", "The hub hung up."));
      this.#waiting.clear();
    });
    await once(this.#socket, "connect");
    return {
      durability: "process",
      ordering: "key",
      groups: true,
      broadcast: true,
      wildcard: true,
      priority: true,
      delay: true,
      nackDelay: true,
      replayByPosition: true,
      replayByTime: true,
      lag: true,
      exactAttempts: true,
      lease: false,
      dedupe: true,
      maxBatch: 1000,
      maxBodyBytes: 1_048_576,
    };
  }

  publish(envelopes: readonly Envelope[], options: BrokerPublishOptions = {}): Promise<PublishResult[]> {
    return this.call("publish", envelopes.map(pack), options);
  }

  async subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    return new HubSubscription(this, await this.call<number>("subscribe", spec));
  }

  inspect(query: object = {}): Promise<BrokerReport> {
    return this.call("inspect", query);
  }

  close(): Promise<void> {
    this.#socket?.destroy();
    return Promise.resolve();
  }

  createInbox(): Inbox {
    return {
      claim: (group, id) => this.call("claim", group, id),
      commit: (group, id) => this.call("commit", group, id),
      abandon: (group, id) => this.call("abandon", group, id),
    };
  }

  readonly admin: BrokerAdmin = {
    list: () => this.call("list"),
    declare: (...args) => this.call("declare", ...args),
    remove: (channel) => this.call("remove", channel),
    purge: (channel) => this.call("purge", channel),
    erase: (...args) => this.call("erase", ...args),
    browse: async (...args) => {
      const found = await this.call<{ envelope: Packed; position: string }[]>("browse", ...args);
      return found.map(({ envelope, position }) => ({ envelope: unpack(envelope), position }));
    },
  };

  call<T>(op: string, ...args: readonly unknown[]): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#socket?.destroyed !== false)
        return reject(new HeraldError("NOT_CONNECTED", "The hub is not there."));
      this.#waiting.set(++this.#calls, { resolve: resolve as (value: unknown) => void, reject });
      this.#socket.write(`${JSON.stringify({ n: this.#calls, op, args: [this.#place, ...args] })}\n`);
    });
  }

  #answered({ n, value, error }: Answer): void {
    const waiting = this.#waiting.get(n);
    this.#waiting.delete(n);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new HeraldError(error.code, error.message));
  }
}

class HubSubscription implements Subscription {
  readonly #broker: HubBroker;
  readonly #number: number;

  constructor(broker: HubBroker, number: number) {
    this.#broker = broker;
    this.#number = number;
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const deliveries = await this.#broker.call<PackedDelivery[]>("receive", this.#number, limit, waitMs);
    return deliveries.map((delivery) => ({ ...delivery, envelope: unpack(delivery.envelope) }));
  }

  settle(settlements: readonly Settlement[]): Promise<void> {
    const packed = settlements.map(({ delivery, ...rest }) => ({ ...rest, receipt: delivery.receipt }));
    return this.#broker.call("settle", packed);
  }

  close(): Promise<void> {
    return this.#broker.call("close", this.#number);
  }
}
