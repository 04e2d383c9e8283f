import { HeraldError } from "../../../src/core/errors.ts";
import type { PublishResult } from "../../../src/core/broker.ts";
import { oneIn, twist, type Mutant } from "./mutant.ts";

const STORED: PublishResult = { ok: true, position: "0", deduplicated: false, matched: 1 };

/** Faults on the way in. */
export const publishingMutants: readonly Mutant[] = [
  {
    name: "drops one message in a thousand and says that it has it",
    expected: "lost-middle",
    near: ["b03"],
    wrap(broker) {
      const isHit = oneIn(1000);
      return twist(broker, {
        async publish(envelopes, next) {
          const isDropped = envelopes.map(isHit);
          const stored = (await next(envelopes.filter((_envelope, at) => isDropped[at] !== true))).values();
          return isDropped.map((dropped) => (dropped ? STORED : (stored.next().value ?? STORED)));
        },
      });
    },
  },
  {
    name: "stores one message in fifty twice",
    expected: "resurrect",
    near: ["a04"],
    wrap(broker) {
      const isHit = oneIn(50);
      return twist(broker, {
        async publish(envelopes, next) {
          const results = await next(envelopes);
          await next(envelopes.filter(isHit));
          return results;
        },
      });
    },
  },
  {
    name: "swaps neighbours of one key",
    expected: "reorder",
    near: ["b04"],
    wrap: (broker) =>
      twist(broker, {
        async publish(envelopes, next) {
          const [last, previous] = [
            envelopes.length - 1,
            envelopes.findLastIndex(
              ({ key }, at) => at < envelopes.length - 1 && key === envelopes.at(-1)?.key,
            ),
          ];
          const swapped = [...envelopes];
          const [a, b] = [envelopes[previous], envelopes[last]];
          if (a !== undefined && b !== undefined) [swapped[previous], swapped[last]] = [b, a];
          const results = await next(swapped);
          return envelopes.map((envelope) => results[swapped.indexOf(envelope)] ?? STORED);
        },
      }),
  },
  {
    name: "crosses channels",
    expected: "phantom",
    near: ["a04"],
    wrap(broker) {
      const isHit = oneIn(150);
      let other: string | undefined;
      return twist(broker, {
        publish(envelopes, next) {
          const strayed = envelopes.map((envelope) => {
            const from = other;
            other = envelope.channel;
            return from !== undefined && isHit() ? { ...envelope, channel: from } : envelope;
          });
          return next(strayed);
        },
      });
    },
  },
  {
    name: "corrupts a body",
    expected: "corrupt",
    near: ["a01"],
    wrap(broker) {
      const isHit = oneIn(100);
      return twist(broker, {
        publish: (envelopes, next) =>
          next(
            envelopes.map((envelope) => {
              if (envelope.body.length === 0 || !isHit()) return envelope;
              const body = new Uint8Array(envelope.body);
              body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1;
              return { ...envelope, body };
            }),
          ),
      });
    },
  },
  {
    name: "loses headers",
    expected: "corrupt",
    near: ["a01"],
    wrap: (broker) =>
      twist(broker, {
        publish: (envelopes, next) => next(envelopes.map((envelope) => ({ ...envelope, headers: {} }))),
      }),
  },
  {
    name: "loses the correlation",
    expected: "corrupt",
    near: ["a01"],
    wrap: (broker) =>
      twist(broker, {
        publish: (envelopes, next) =>
          next(envelopes.map((envelope) => ({ ...envelope, correlationId: undefined }))),
      }),
  },
  {
    name: "cuts a body that is too large and takes it",
    expected: "corrupt",
    near: ["a-positional", "g01"],
    wrap(broker) {
      let maxBodyBytes = Infinity;
      return twist(broker, {
        capabilities: (capabilities) => ({
          ...capabilities,
          maxBodyBytes: (maxBodyBytes = capabilities.maxBodyBytes),
        }),
        publish: (envelopes, next) =>
          next(envelopes.map((envelope) => ({ ...envelope, body: envelope.body.subarray(0, maxBodyBytes) }))),
      });
    },
  },
  {
    name: "stores what it reports as refused",
    expected: "failed-but-delivered",
    near: ["a-definite"],
    wrap(broker) {
      const isHit = oneIn(40);
      const error = new HeraldError("OVERLOADED", "The broker is full.");
      return twist(broker, {
        async publish(envelopes, next) {
          const results = await next(envelopes);
          return results.map((result) => (isHit() ? { ok: false, error } : result));
        },
      });
    },
  },
  {
    name: "mixes up the places of results",
    expected: "failed-but-delivered",
    near: ["a-positional"],
    wrap: (broker) =>
      twist(broker, { publish: async (envelopes, next) => (await next(envelopes)).toReversed() }),
  },
  {
    name: "loses the write to the dead letters",
    expected: "missing-effect",
    near: ["c06"],
    wrap: (broker) =>
      twist(broker, {
        async publish(envelopes, next) {
          const isLetter = envelopes.map(({ channel }) => channel.startsWith("dlq."));
          const stored = (await next(envelopes.filter((_envelope, at) => isLetter[at] !== true))).values();
          return isLetter.map((lost) => (lost ? STORED : (stored.next().value ?? STORED)));
        },
      }),
  },
  {
    name: "does not recognise ids that are published again",
    expected: "assertion",
    near: ["f01"],
    wrap: (broker) => twist(broker, { publishOptions: () => undefined }),
  },
  {
    name: "recognises ids that were never published",
    expected: "lost-middle",
    near: ["a01"],
    wrap(broker) {
      const isHit = oneIn(30);
      return twist(broker, {
        async publish(envelopes, next) {
          const isDropped = envelopes.map(isHit);
          const stored = (await next(envelopes.filter((_envelope, at) => isDropped[at] !== true))).values();
          return isDropped.map((dropped) =>
            dropped ? { ...STORED, deduplicated: true } : (stored.next().value ?? STORED),
          );
        },
      });
    },
  },
  {
    name: "ignores the delay of a publish",
    expected: "early",
    near: ["d05"],
    wrap: (broker) =>
      twist(broker, {
        publish: (envelopes, next) =>
          next(envelopes.map((envelope) => ({ ...envelope, deliverAt: undefined }))),
      }),
  },
  {
    name: "delivers 20 ms before it is due",
    expected: "early",
    near: ["d05"],
    wrap: (broker) =>
      twist(broker, {
        publish: (envelopes, next) =>
          next(
            envelopes.map((envelope) =>
              envelope.deliverAt === undefined
                ? envelope
                : { ...envelope, deliverAt: envelope.deliverAt - 20 },
            ),
          ),
      }),
  },
  {
    name: "ignores priority",
    expected: "assertion",
    near: ["d01", "d-priority"],
    wrap(broker) {
      const levels = new Map<string, number>();
      return twist(broker, {
        publish(envelopes, next) {
          for (const { id, priority } of envelopes) levels.set(id, priority);
          return next(envelopes.map((envelope) => ({ ...envelope, priority: 50 })));
        },
        deliver: (delivery) => ({
          ...delivery,
          envelope: { ...delivery.envelope, priority: levels.get(delivery.envelope.id) ?? 50 },
        }),
      });
    },
  },
  {
    name: "forgets that messages have a key",
    expected: "assertion",
    near: ["b04"],
    wrap(broker) {
      const keys = new Map<string, string | undefined>();
      return twist(broker, {
        publish(envelopes, next) {
          for (const { id, key } of envelopes) keys.set(id, key);
          return next(envelopes.map((envelope) => ({ ...envelope, key: undefined })));
        },
        deliver: (delivery) => ({
          ...delivery,
          envelope: { ...delivery.envelope, key: keys.get(delivery.envelope.id) },
        }),
      });
    },
  },
];
