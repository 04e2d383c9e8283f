import type { Delivery } from "../../../src/core/delivery.ts";
import { envelope } from "../envelopes.ts";
import { oneIn, twist, type Mutant } from "./mutant.ts";

/** Faults on the way out. */
export const deliveringMutants: readonly Mutant[] = [
  {
    name: "hands the same delivery out twice",
    expected: "duplicate-effect",
    near: ["a04"],
    wrap(broker) {
      const isHit = oneIn(100);
      return twist(broker, {
        receive: async (limit, waitMs, next) =>
          (await next(limit, waitMs)).flatMap((delivery) =>
            isHit() ? [delivery, { ...delivery }] : [delivery],
          ),
      });
    },
  },
  {
    name: "invents a message",
    expected: "phantom",
    near: ["a03"],
    wrap(broker) {
      const isHit = oneIn(20);
      return twist(broker, {
        async receive(limit, waitMs, next) {
          const deliveries = await next(limit, waitMs);
          const [first] = deliveries;
          if (first === undefined || !isHit()) return deliveries;
          const invented: Delivery = {
            ...first,
            envelope: envelope({ channel: first.envelope.channel }),
            receipt: undefined,
          };
          return [...deliveries, invented];
        },
      });
    },
  },
  {
    name: "takes a nack for an ack",
    expected: "missing-effect",
    near: ["c-nack"],
    wrap: (broker) =>
      twist(broker, {
        settle: (settlement) =>
          settlement.kind === "nack" ? { kind: "ack", delivery: settlement.delivery } : settlement,
      }),
  },
  {
    name: "acknowledges when it hands out",
    expected: "missing-effect",
    near: ["c-nack"],
    wrap(broker) {
      return twist(broker, {
        settle: (settlement) =>
          settlement.kind === "extend" ? settlement : { kind: "ack", delivery: settlement.delivery },
      });
    },
  },
  {
    name: "forgets attempts",
    expected: "lost-attempt",
    near: ["c-nack"],
    wrap: (broker) => twist(broker, { deliver: (delivery) => ({ ...delivery, attempt: 1 }) }),
  },
  {
    name: "counts a release as an attempt",
    expected: "extra-attempt",
    near: ["c-release"],
    wrap: (broker) =>
      twist(broker, {
        settle: (settlement) =>
          settlement.kind === "release" ? { ...settlement, kind: "nack" } : settlement,
      }),
  },
  {
    name: "ignores the delay of a nack",
    expected: "early",
    near: ["c-nack"],
    wrap: (broker) =>
      twist(broker, {
        settle: (settlement) => (settlement.kind === "nack" ? { ...settlement, delayMs: 0 } : settlement),
      }),
  },
  {
    name: "ignores the delay of a release",
    expected: "early",
    near: ["c-release"],
    wrap: (broker) =>
      twist(broker, {
        settle: (settlement) => (settlement.kind === "release" ? { ...settlement, delayMs: 0 } : settlement),
      }),
  },
  {
    name: "brings an acknowledged message back",
    expected: "resurrect",
    near: ["c-ack", "a04"],
    wrap(broker) {
      const isHit = oneIn(50);
      return twist(broker, {
        settle: (settlement) =>
          settlement.kind === "ack" && isHit()
            ? { kind: "nack", delivery: settlement.delivery, delayMs: 0 }
            : settlement,
      });
    },
  },
  {
    name: "lets a late ack end the next delivery",
    expected: "missing-effect",
    near: ["c-late"],
    wrap(broker) {
      const newest = new Map<string, Delivery>();
      return twist(broker, {
        deliver(delivery) {
          newest.set(delivery.envelope.id, delivery);
          return delivery;
        },
        settle: (settlement) =>
          settlement.kind === "ack"
            ? { kind: "ack", delivery: newest.get(settlement.delivery.envelope.id) ?? settlement.delivery }
            : settlement,
      });
    },
  },
  {
    name: "leaks past the prefetch",
    expected: "assertion",
    near: ["g-prefetch"],
    wrap: (broker) => twist(broker, { subscribe: (spec) => ({ ...spec, prefetch: spec.prefetch + 1 }) }),
  },
  {
    name: "gives more than was asked for",
    expected: "assertion",
    near: ["g-receive"],
    wrap: (broker) =>
      twist(broker, { receive: (limit, waitMs, next) => next(limit <= 0 ? limit : limit + 1, waitMs) }),
  },
  {
    name: "lets a receive wait ten times as long as it may",
    expected: "assertion",
    near: ["g-receive"],
    wrap: (broker) => twist(broker, { receive: (limit, waitMs, next) => next(limit, waitMs * 10) }),
  },
];
