import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { envelope } from "../../../test/support/envelopes.ts";
import { idsOf, opened, take } from "../../../test/support/memory.ts";
import { createEnvelope, JSON_TYPE, NO_HEADERS, type Envelope } from "../../core/envelope.ts";
import { Entry } from "./entry.ts";
import { GroupQueue } from "./group-queue.ts";
import { pack, unpack } from "./pack.ts";

const text = fc.string({ unit: "binary", maxLength: 20 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const instant = fc.double({ min: 0, max: 8e12, noNaN: true });
const headers = fc.oneof(fc.constant(NO_HEADERS), fc.dictionary(fc.stringMatching(/^[a-z-]{1,10}$/), text));
const anyEnvelope: fc.Arbitrary<Envelope> = fc
  .record({
    id: text,
    channel: fc.constantFrom("c", "d"),
    source: fc.constantFrom("one", "two", ""),
    time: fc.oneof(fc.integer({ min: 0, max: 8_000_000_000_000 }), instant),
    body: fc.uint8Array({ maxLength: 20 }),
    contentType: fc.constantFrom(JSON_TYPE, "text/plain", ""),
    headers,
    priority: fc.constantFrom(50, 0, 99),
    key: maybe(text),
    deliverAt: maybe(instant),
    expiresAt: maybe(instant),
    type: maybe(text),
    to: maybe(text),
    correlationId: maybe(text),
    causationId: maybe(text),
    replyTo: maybe(text),
    traceparent: maybe(text),
    hops: fc.nat(32),
    origin: maybe(text),
    provenance: maybe(text),
  })
  .map(createEnvelope);
const plainEnvelope = fc
  .record({ id: text, body: fc.uint8Array({ maxLength: 20 }), same: fc.boolean() })
  .map(({ id, body, same }) =>
    createEnvelope({
      id,
      body,
      channel: "c",
      source: "one",
      time: 1000,
      correlationId: same ? id : undefined,
    }),
  );

function queue(): GroupQueue {
  return new GroupQueue({ group: "g", pattern: "*", strict: false });
}

describe("a run of waiting messages that was packed", () => {
  it("is the same when it is unpacked: every field, attempt, failure and position, in order", () => {
    const failure = fc.record({ attempt: fc.nat(), code: text, message: text, at: instant });
    const row = fc.record({
      one: fc.oneof(anyEnvelope, plainEnvelope),
      step: fc.integer({ min: 1, max: 1000 }),
      attempt: fc.integer({ min: 1, max: 5 }),
      failures: fc.array(failure, { maxLength: 2 }),
    });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), (rows) => {
        const target = queue();
        let sequence = 0;
        const entries = rows.map(({ one, step, attempt, failures }) => {
          sequence += step;
          const history = { attempt, failures: attempt === 1 ? [] : failures };
          return new Entry(target, one, { sequence, tally: target.tallyOf(one.channel) }, history);
        });
        const again = unpack(pack(entries), target);

        expect(again).toHaveLength(entries.length);
        again.forEach((entry, at) => {
          const before = entries[at] as Entry;
          const { time, body, ...fields } = entry.envelope;
          const { time: timeBefore, body: bodyBefore, ...fieldsBefore } = before.envelope;
          expect(fields).toEqual(fieldsBefore);
          expect(fields.headers === NO_HEADERS).toBe(fieldsBefore.headers === NO_HEADERS);
          expect([...body]).toEqual([...bodyBefore]);
          if (Number.isInteger(timeBefore)) expect(time).toBe(timeBefore);
          // A microsecond, and what a difference and a sum of two such numbers lose: their steps are of 2 ** -10.
          else expect(Math.abs(time - timeBefore)).toBeLessThanOrEqual(0.001 + 2 ** -9);
          expect([entry.position, entry.attempt, entry.failures, entry.queue]).toEqual([
            before.position,
            before.attempt,
            before.failures,
            target,
          ]);
          expect(entry.tally).toBe(before.tally);
        });
      }),
      { numRuns: 500 },
    );
  });
});

describe("a backlog of fifty thousand", () => {
  it("is handed out as it was published, message by message", async () => {
    const { broker, subscribe } = await opened({ replay: 0 });
    const subscription = await subscribe("c", { prefetch: 100_000 });
    const count = 50_000;
    const body = (at: number): Uint8Array => new TextEncoder().encode(`{"n":${at}}`);
    const published = Array.from({ length: count }, (_none, at) =>
      at % 3 === 0
        ? envelope({
            id: `m${at}`,
            body: body(at),
            key: `k${at}`,
            headers: { h: String(at) },
            type: "event",
            hops: 1,
          })
        : envelope({
            id: `m${at}`,
            body: body(at),
            time: 1000 + at / 8,
            correlationId: at % 3 === 1 ? `m${at}` : undefined,
          }),
    );
    for (let at = 0; at < count; at += 5000) await broker.publish(published.slice(at, at + 5000));

    let wrong = 0;
    for (let at = 0; at < count;) {
      for (const delivery of await take(subscription, 777)) {
        const { body: bytes, ...fields } = delivery.envelope;
        const { body: expectedBytes, ...expected } = published[at++] as Envelope;
        if (!Buffer.from(bytes).equals(expectedBytes) || JSON.stringify(fields) !== JSON.stringify(expected))
          wrong++;
      }
    }
    expect(wrong).toBe(0);
    expect(await take(subscription)).toEqual([]);
  });

  it("of two groups, with urgent ones and some that come back in between, loses none and repeats none", async () => {
    const { broker, publish, subscribe, report } = await opened({ replay: 0 });
    const one = await subscribe("c", { prefetch: 100_000 });
    const two = await subscribe("c", { group: "h", prefetch: 100_000 });
    const alone = await subscribe("d", { prefetch: 100_000 });
    const all = Array.from({ length: 20_000 }, (_none, at) =>
      envelope({ id: `m${at}`, priority: at % 1000 === 0 ? 10 : 50 }),
    );
    const others = all.map(({ id }) => envelope({ id, channel: "d" }));
    for (let at = 0; at < all.length; at += 5000) {
      await broker.publish(all.slice(at, at + 5000));
      await broker.publish(others.slice(at, at + 5000));
    }
    for (const subscription of [one, two, alone]) {
      const seen = new Set<string>();
      for (let turn = 0; seen.size < 20_000; turn++) {
        const got = await take(subscription, 500);
        expect(got.length).toBeGreaterThan(0);
        const back = turn % 7 === 0 ? got.slice(0, 10) : [];
        const kept = got.slice(back.length);
        for (const id of idsOf(kept)) seen.add(id);
        await subscription.settle([
          ...back.map((delivery) => ({ kind: "release", delivery, delayMs: 0 }) as const),
          ...kept.map((delivery) => ({ kind: "ack", delivery }) as const),
        ]);
      }
    }
    await publish(["last"]);

    expect(await report()).toMatchObject({
      groups: [
        { lag: 1, unsettled: 0 },
        { lag: 1, unsettled: 0 },
      ],
    });
    expect(await report("d")).toMatchObject({ groups: [{ lag: 0, unsettled: 0 }] });
  });
});
