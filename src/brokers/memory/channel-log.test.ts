import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { envelope } from "../../../test/support/envelopes.ts";
import { drain, names, opened, take } from "../../../test/support/memory.ts";
import { ChannelLog } from "./channel-log.ts";

/** A log as a plain list: what was erased leaves a gap that still counts among the last `limit`. */
class ListLog {
  #slots: { readonly sequence: number; readonly bytes: number; readonly at: number; erased: boolean }[] = [];
  readonly #limit: number;
  readonly #retentionMs: number | undefined;

  constructor(limit: number, retentionMs: number | undefined) {
    this.#limit = limit;
    this.#retentionMs = retentionMs;
  }

  get kept() {
    return this.#slots.filter(({ erased }) => !erased);
  }

  append(sequence: number, bytes: number, at: number): void {
    if (this.#limit === 0 && this.#retentionMs === undefined) return;
    this.#slots.push({ sequence, bytes, at, erased: false });
    this.expire(at);
  }

  expire(now: number): void {
    const { kept } = this;
    const first =
      this.#retentionMs === undefined
        ? this.#slots.slice(-this.#limit)[0]?.sequence
        : kept.find(({ at }) => now - at < (this.#retentionMs ?? 0))?.sequence;
    this.#slots = this.#slots.filter(({ sequence }) => sequence >= (first ?? Infinity));
    while (this.#slots[0]?.erased === true) this.#slots.shift();
  }

  erase(sequence: number): boolean {
    const found = this.kept.find((slot) => slot.sequence === sequence);
    if (found !== undefined) found.erased = true;
    return found !== undefined;
  }

  dropOldest(): boolean {
    const [oldest] = this.kept;
    this.#slots = this.#slots.filter(({ sequence }) => oldest !== undefined && sequence > oldest.sequence);
    return oldest !== undefined;
  }

  clear(): number {
    const { length } = this.kept;
    this.#slots = [];
    return length;
  }
}

const sequences = (log: ChannelLog, after = 0): number[] =>
  [...log.after(after)].map(({ sequence }) => sequence);

describe("a channel's log", () => {
  it("holds what a list would hold, whatever is appended, erased, dropped, cleared and forgotten by age", () => {
    const step = fc.record({
      action: fc.constantFrom("append", "append", "append", "append", "erase", "drop", "clear", "clock"),
      value: fc.nat(40),
    });
    const limits = fc.record({
      limit: fc.nat(20),
      retentionMs: fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 150 }), ({ limit, retentionMs }, steps) => {
        const counted = { messages: 0, bytes: 0 };
        const account = (messages: number, bytes: number): void => {
          counted.messages += messages;
          counted.bytes += bytes;
        };
        const log = new ChannelLog(limit, account);
        if (retentionMs !== undefined) log.retain(retentionMs, account);
        const model = new ListLog(limit, retentionMs);
        let now = 0;
        let sequence = 0;
        for (const { action, value } of steps) {
          if (action === "append") {
            sequence += 1 + (value % 3);
            log.append(envelope({ body: new Uint8Array(value) }), sequence, now);
            model.append(sequence, value, now);
          } else if (action === "erase") expect(log.erase(value)).toBe(model.erase(value));
          else if (action === "drop") expect(log.dropOldest()).toBe(model.dropOldest());
          else if (action === "clear") expect(log.clear()).toBe(model.clear());
          else {
            now += value;
            log.expire(now);
            model.expire(now);
          }
          const { kept } = model;
          expect(sequences(log)).toEqual(kept.map((slot) => slot.sequence));
          expect(sequences(log, value)).toEqual(
            kept.map((slot) => slot.sequence).filter((each) => each > value),
          );
          const bytes = kept.reduce((sum, slot) => sum + slot.bytes, 0);
          expect([log.length, log.bytes]).toEqual([kept.length, bytes]);
          expect(counted).toEqual({ messages: kept.length, bytes });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("replay", () => {
  it("retains the latest of a channel, handled or not", async () => {
    const { publish, subscribe } = await opened({ replay: 3 });
    const subscription = await subscribe();
    await publish(names(5));
    expect(await drain(subscription)).toHaveLength(5);

    expect(await drain(await subscribe("c", { group: "h", from: "earliest" }))).toEqual(["m2", "m3", "m4"]);
  });

  it("is bounded in bytes over all channels", async () => {
    const { broker, publish } = await opened({ replay: 1000, replayBytes: 100 });
    for (const channel of ["a", "b", "c"]) await publish(names(20), { channel, body: new Uint8Array(10) });
    const bytes = async (channel: string) =>
      (await broker.admin.browse(channel, { limit: 100 })).reduce(
        (sum, { envelope: one }) => sum + one.body.byteLength,
        0,
      );

    expect((await bytes("a")) + (await bytes("b")) + (await bytes("c"))).toBeLessThanOrEqual(100);
    expect(await bytes("c")).toBeGreaterThan(0);
  });

  it("leaves dead letters alone, whatever it costs", async () => {
    const { broker, publish } = await opened({ replayBytes: 50 });
    await broker.admin.declare("dlq.a", { retentionMs: 1000 });
    await publish(names(10), { channel: "dlq.a", body: new Uint8Array(10) });
    await publish(names(10), { channel: "c", body: new Uint8Array(10) });

    expect(await broker.admin.browse("dlq.a", { limit: 100 })).toHaveLength(10);
  });
});

describe("retention by age", () => {
  it("keeps every envelope for as long as was declared, more than replay would, and no longer", async () => {
    const { clock, broker, publish } = await opened({ replay: 2 });
    await publish(["before"]);
    await broker.admin.declare("c", { retentionMs: 1000 });
    await publish(names(5));
    clock.advance(500);
    await publish(["late"]);
    const kept = async () =>
      (await broker.admin.browse("c", { limit: 100 })).map(({ envelope: { id } }) => id);
    clock.advance(499);
    expect(await kept()).toEqual(["before", ...names(5), "late"]);
    clock.advance(1);
    expect(await kept()).toEqual(["late"]);
    clock.advance(500);
    expect(await kept()).toEqual([]);
  });

  it("may be declared anew, for more or for less", async () => {
    const { clock, broker, publish } = await opened();
    await broker.admin.declare("c", { retentionMs: 1000 });
    await publish(["a"]);
    await broker.admin.declare("c");
    await broker.admin.declare("c", { retentionMs: 100 });
    clock.advance(100);

    expect(await broker.admin.browse("c", { limit: 10 })).toEqual([]);
  });
});

describe("an operator", () => {
  it("sees the channels that exist, makes one before its first message, and removes it with all it holds", async () => {
    const { broker, publish, subscribe, report } = await opened();
    const subscription = await subscribe("#");
    await broker.admin.declare("made");
    await publish(names(3));
    expect((await broker.admin.list()).toSorted()).toEqual(["c", "made"]);

    await broker.admin.remove("c");
    await broker.admin.remove("unknown");
    expect(await broker.admin.list()).toEqual(["made"]);
    expect(await take(subscription)).toEqual([]);
    expect(await report()).toBeUndefined();

    await publish(["again"]);
    expect(await drain(subscription)).toEqual(["again"]);
  });

  it("pages through what a channel retains, oldest first, and takes single envelopes out", async () => {
    const { broker, publish } = await opened();
    await publish(names(5));
    const first = await broker.admin.browse("c", { limit: 2 });
    expect(first.map(({ envelope: { id } }) => id)).toEqual(["m0", "m1"]);
    const after = first[1]?.position ?? "";
    const rest = await broker.admin.browse("c", { after, limit: 100 });
    expect(rest.map(({ envelope: { id } }) => id)).toEqual(["m2", "m3", "m4"]);

    const middle = rest[1]?.position ?? "";
    expect(await broker.admin.erase("c", [middle, middle, "999", "nonsense"])).toBe(1);
    expect(await broker.admin.erase("unknown", ["1"])).toBe(0);
    const left = await broker.admin.browse("c", { limit: 100 });
    expect(left.map(({ envelope: { id } }) => id)).toEqual(["m0", "m1", "m2", "m4"]);
    expect(await broker.admin.browse("c", { limit: 0 })).toEqual([]);
    expect(await broker.admin.browse("unknown", { limit: 5 })).toEqual([]);
  });

  it("empties a channel of what waits and what is retained; who holds a message may still end it, and it does not come back", async () => {
    const { clock, broker, publish, subscribe, report } = await opened();
    const subscription = await subscribe("c", { prefetch: 2 });
    const other = await subscribe("d", { prefetch: 2 });
    await publish(names(6));
    await publish(["kept"], { channel: "d" });
    const [acked, nacked] = await take(subscription);

    expect(await broker.admin.purge("c")).toBe(6);
    expect(await broker.admin.purge("unknown")).toBe(0);
    await subscription.settle([{ kind: "ack", delivery: acked! }]);
    await subscription.settle([{ kind: "nack", delivery: nacked!, delayMs: 10 }]);
    await clock.advanceAsync(10);
    expect(await take(subscription)).toEqual([]);
    expect(await report()).toMatchObject({ depth: 0, groups: [{ lag: 0, unsettled: 0 }] });
    expect(await drain(other)).toEqual(["kept"]);
  });

  it("empties one channel of a pattern, and leaves the others in their order", async () => {
    const { broker, publish, subscribe } = await opened();
    const subscription = await subscribe("x.*");
    for (const [at, id] of names(6).entries())
      await publish([id], { channel: `x.${at % 2}`, priority: at < 3 ? 50 : 10 });
    await broker.admin.purge("x.1");

    expect(await drain(subscription)).toEqual(["m4", "m0", "m2"]);
  });
});
