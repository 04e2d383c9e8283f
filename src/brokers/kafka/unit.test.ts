import * as kafka from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../core/clock.ts";
import type { Delivery } from "../../core/delivery.ts";
import { GroupQueue } from "../memory/group-queue.ts";
import { Timers } from "../shared/timers.ts";
import { recordOf } from "./codec.ts";
import { createEnvelope, type EnvelopeInit } from "../../core/envelope.ts";
import { Fetched } from "./fetched.ts";
import { encodeBatch } from "./record-batch.ts";
import { batchesOf, type RecordRead } from "./record-read.ts";
import { KafkaSubscription } from "./subscription.ts";
import { decodeState } from "./unit-state.ts";
import { Unit, type UnitHost } from "./unit.ts";

const home = { channel: "c", topic: "ns.c", shared: false };

/** A record at an offset, as it is read back. */
function record(offset: number, init: Partial<EnvelopeInit> = {}, once = false): Fetched {
  const envelope = createEnvelope({
    id: `m${offset}`,
    channel: "c",
    source: "s",
    time: 1,
    body: new Uint8Array(0),
    ...init,
  });
  const written = recordOf(envelope, { topic: "ns.c", partition: 0 }, { sharing: false, once });
  const numbers = { producerId: 1n, producerEpoch: 0, firstSequence: 0 };
  const [batch] = batchesOf(kafka, encodeBatch(kafka, [written], numbers, "none"));
  return new Fetched(batch?.records[0] as RecordRead, { partition: 0, offset, storedAt: 1000 + offset });
}

/** A unit that reads, its queue, and one subscription with room for everything. */
function bench(changes: Partial<UnitHost> = {}) {
  const timers = new Timers(systemClock);
  const losses: (number | null)[] = [];
  const host: UnitHost = {
    kafkaGroup: () => "ns.g",
    now: () => systemClock.now(),
    after: (delayMs, task) => timers.after(delayMs, task),
    placeOf: (reader) => reader.position,
    isErased: () => false,
    changed: () => {},
    hungry: () => {},
    goBack: (one, offset) => (one.position = offset),
    serve: (one) => one.serve(),
    lost: (_unit, count) => losses.push(count),
    idle: () => {},
    topicId: () => "id",
    readAhead: 1000,
    dedupeWindowMs: 60_000,
    ...changes,
  };
  const unit = new Unit(home, 0, host);
  const queue = new GroupQueue({ group: "g", pattern: "c", strict: false });
  unit.restore(0, undefined);
  unit.isReading = true;
  unit.feed([queue]);
  const subscription = new KafkaSubscription({ group: "g", pattern: "c", prefetch: 100 }, queue, {
    startWait: () => undefined,
    endWait: () => {},
    settle: (entry, settlement) =>
      (entry as unknown as { owner: Unit }).owner.settle(entry as never, settlement),
    settled: (one) => one.serve(),
    left: () => {},
    closed: () => undefined,
    write: () => {},
    written: () => Promise.resolve(),
    commit: () => Promise.resolve(),
    over: () => {},
  });
  const read = (...records: readonly Fetched[]) => {
    for (const one of records) {
      unit.take(one);
      unit.position = one.offset + 1;
    }
  };
  const kept = () => {
    const committed = unit.state();
    const state = decodeState(committed?.offset ?? 0, committed?.metadata);
    const notes = [...(state?.notes ?? [])].map(([offset, { attempt }]) => `${offset}#${attempt}`);
    return { low: committed?.offset, fresh: state?.fresh, out: state?.out, notes };
  };
  return { unit, queue, subscription, read, kept, losses, host };
}

const idsOf = (deliveries: readonly Delivery[]) =>
  deliveries.map(({ envelope, attempt }) => `${envelope.id}#${attempt}`);

describe("what a group has of a partition", () => {
  it("is committed up to the lowest that is not acknowledged, with what was acknowledged above it", async () => {
    const { subscription, read, kept } = bench();
    read(record(0), record(1), record(2), record(3));
    const [, second, third] = await subscription.receive(3, 0);
    expect(kept()).toEqual({ low: 0, fresh: 3, out: 3, notes: ["0#2", "1#2", "2#2"] });

    await subscription.settle([
      { kind: "ack", delivery: second! },
      { kind: "ack", delivery: third! },
    ]);

    expect(kept()).toEqual({ low: 0, fresh: 3, out: 1, notes: ["0#2"] });
  });

  it("is committed for the topic that it was read from, though nobody knows that topic now", async () => {
    let known = "id";
    const { unit, read } = bench({ topicId: () => known });
    read(record(0));
    known = "";
    const committed = unit.state();
    expect(decodeState(committed?.offset ?? 0, committed?.metadata)?.topicId).toBe("id");
  });

  it("goes on, after its process died, with what was not acknowledged, each as its next attempt", async () => {
    const first = bench();
    first.read(record(0), record(1), record(2));
    const [, second] = await first.subscription.receive(2, 0);
    await first.subscription.settle([{ kind: "ack", delivery: second! }]);
    const committed = first.unit.state();

    const next = bench();
    next.unit.restore(committed?.offset ?? 0, decodeState(committed?.offset ?? 0, committed?.metadata));
    next.read(record(0), record(1), record(2));

    expect(idsOf(await next.subscription.receive(10, 0))).toEqual(["m0#2", "m2#1"]);
  });

  it("counts a nack as an attempt and a release as none", async () => {
    const { subscription, read, kept } = bench();
    read(record(0));
    const [one] = await subscription.receive(1, 0);
    await subscription.settle([{ kind: "release", delivery: one!, delayMs: 0 }]);
    const [again] = await subscription.receive(1, 0);
    expect(again?.attempt).toBe(1);

    await subscription.settle([{ kind: "nack", delivery: again!, delayMs: 60_000 }]);

    expect(await subscription.receive(1, 0)).toEqual([]);
    expect(kept()).toMatchObject({ low: 0, out: 0, notes: ["0#2"] });
  });

  it("is read again from the lowest when its queue goes, but for what is out", async () => {
    const { unit, queue, subscription, read } = bench();
    read(record(0), record(1), record(2));
    await subscription.receive(1, 0);
    queue.gone = true;
    const other = bench().queue;

    unit.feed([other], queue);

    expect(unit.position).toBe(1);
    read(record(1), record(2));
    expect(other.waiting).toBe(2);
  });

  it("keeps the order of its keys when another partition, whose messages wait beside it, goes to another process", async () => {
    const { host, queue, subscription, read } = bench();
    const other = new Unit(home, 1, host);
    other.restore(0, undefined);
    other.feed([queue]);
    const key = { key: "k" };
    read(record(0, key), record(1, key), record(2));
    const [first] = await subscription.receive(2, 0);
    // The second of the key was looked at and waits for the first; the third was not looked at yet.
    read(record(3, key));
    other.take(record(4));
    other.giveUp();

    await subscription.settle([{ kind: "ack", delivery: first! }]);
    const [second] = await subscription.receive(10, 0);
    await subscription.settle([{ kind: "ack", delivery: second! }]);
    expect(idsOf([second!, ...(await subscription.receive(10, 0))])).toEqual(["m1#1", "m3#1"]);
  });

  it("is not another process's while something is out, and hands out nothing more once it is given up", async () => {
    const { unit, subscription, read, kept } = bench();
    read(record(0), record(1));
    const [one] = await subscription.receive(1, 0);

    unit.giveUp();

    expect([unit.out, unit.wants]).toEqual([1, false]);
    expect(await subscription.receive(1, 0)).toEqual([]);
    await subscription.settle([{ kind: "ack", delivery: one! }]);
    expect(kept()).toMatchObject({ low: 1, out: 0 });
  });

  it("does not hand out what was purged, nor what is stored a second time under an id that is to be recognised", async () => {
    const { unit, subscription, read, kept } = bench();
    unit.purge(1);
    read(record(0), record(1, { id: "x" }, true), record(2, { id: "x" }, true), record(3));

    expect(idsOf(await subscription.receive(10, 0))).toEqual(["x#1", "m3#1"]);
    expect(kept().low).toBe(1);
  });

  it("tells of what is gone before it was read", () => {
    const { unit, losses, kept } = bench();
    unit.position = 6;

    unit.lost(6);

    expect(losses).toEqual([6]);
    expect(kept().low).toBe(6);
  });

  it("is committed by nobody once it has ended", () => {
    const { unit, read } = bench();
    read(record(0));

    unit.end();

    expect(unit.state()).toBeUndefined();
  });
});
