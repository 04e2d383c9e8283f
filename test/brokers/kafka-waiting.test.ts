import { expect, it } from "vitest";
import type { Delivery } from "../../src/core/delivery.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { envelope } from "../support/envelopes.ts";
import { IMPATIENT, kafkaBench } from "../support/kafka.ts";
import { ack, take } from "../support/taking.ts";
import { whenStarted } from "../support/servers/when.ts";

const spec = { pattern: "c", group: "g", prefetch: 5000 };
const MANY = 1000;
/** Every tenth of them fails. */
const FAILING = MANY / 10;
const failure = { attempt: 1, code: "HANDLER_FAILED", message: "not yet", at: 1 };
const message = (id: string, deliverAt?: number) =>
  envelope({ id, channel: "c", time: Date.now(), ...(deliverAt === undefined ? {} : { deliverAt }) });
const ids = (deliveries: readonly Delivery[]) => deliveries.map((delivery) => delivery.envelope.id);
const isFailing = ({ envelope: { id } }: Delivery) => id.endsWith("0");

whenStarted("kafka", "what waits in a partition of Kafka", () => {
  const bench = kafkaBench(IMPATIENT);

  it("holds up nothing behind it, neither a retry nor a delay", async () => {
    const broker = await bench.opened({ partitions: 1 });
    const subscription = await broker.subscribe(spec);
    await broker.publish([message("failing"), message("delayed", Date.now() + 3_600_000)]);
    const [failing] = await take(subscription, 1);
    await subscription.settle([{ kind: "nack", delivery: failing!, delayMs: 3_600_000, failure }]);

    await broker.publish(Array.from({ length: MANY }, (_none, n) => message(`m${n}`)));
    await ack(subscription, await take(subscription, MANY));

    const { channels } = await broker.inspect({ channels: ["c"] });
    expect(channels).toEqual([
      { channel: "c", depth: MANY + 2, groups: [{ group: "g", lag: 2, unsettled: 0 }] },
    ]);
  });

  it("survives the death of its process: what was acknowledged past it stays so, and it comes at its time with its attempt", async () => {
    await using proxy = await FaultProxy.before(bench.server);
    const namespace = newPlace();
    const { host, port } = proxy.address;
    const dying = await bench.opened({ url: `kafka://${host}:${port}`, namespace, partitions: 1 });
    const subscription = await dying.subscribe(spec);
    await dying.publish(Array.from({ length: MANY }, (_none, n) => message(`m${n}`)));
    const deliveries = await take(subscription, MANY);
    const dueAt = Date.now() + 6000;
    await subscription.settle(
      deliveries.map((delivery) =>
        isFailing(delivery)
          ? { kind: "nack", delivery, delayMs: dueAt - Date.now(), failure }
          : { kind: "ack", delivery },
      ),
    );
    proxy.set({ frozen: "both" });

    const next = await bench.opened({ namespace, partitions: 1 });
    const again = await next.subscribe(spec);
    const returned: Delivery[] = [];
    const early: Delivery[] = [];
    while (returned.length < FAILING && Date.now() < dueAt + 20_000) {
      const some = await again.receive(MANY, 200);
      if (Date.now() < dueAt) early.push(...some);
      returned.push(...some);
    }

    expect(ids(early)).toEqual([]);
    expect(returned.every((delivery) => delivery.attempt === 2)).toBe(true);
    expect(ids(returned).toSorted()).toEqual(ids(deliveries.filter(isFailing)).toSorted());
    expect(await again.receive(MANY, 500)).toEqual([]);
  });
});
