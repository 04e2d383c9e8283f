import fc from "fast-check";
import { expect, it } from "vitest";
import type { LoggedEvent, Stores } from "../../src/core/store.ts";
import { chainHash } from "../../src/patterns/events/event.ts";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import { Projection } from "../../src/patterns/events/projection.ts";
import { StreamState, type Fold } from "../../src/patterns/events/state.ts";
import { MemoryStores } from "../../src/stores/memory-stores.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { altered } from "../support/altered-stores.ts";
import { ModelCommand } from "../support/model-command.ts";

type Data = fc.JsonValue;

/** What the streams hold, in as few lines as it can be said. */
type Model = Map<string, Data[]>;

interface Real {
  readonly stores: Stores;
  /** Two processes, as it were, over the same stores. */
  readonly writers: readonly EventStore[];
  readonly projection: Projection<Record<string, Data[]>>;
}

const FOLD: Fold<Data[]> = {
  name: "list",
  initial: () => [],
  apply: (state, { data }) => [...state, data as Data],
  snapshotEvery: 3,
};

const known = (model: Model, stream: string): Data[] => model.get(stream) ?? [];

const append = (stream: string, who: number, data: readonly Data[], off: number | "any") =>
  new ModelCommand<Model, Real>(
    `append(${stream}, by ${who}, ${data.length}, ${off})`,
    async (model, { writers }) => {
      const before = known(model, stream);
      const expected = off === "any" ? "any" : Math.max(0, before.length + off);
      const fits = expected === "any" || expected === before.length;
      const events = data.map((value) => ({ type: "Said", data: value }));

      const appended = (writers[who] as EventStore).append(stream, events, { expectedVersion: expected });

      if (!fits) {
        await expect(appended).rejects.toMatchObject({ code: "CONFLICT", actualVersion: before.length });
        return;
      }
      model.set(stream, [...before, ...data]);
      expect((await appended).version).toBe(before.length + data.length);
    },
  );

const readFrom = (stream: string, from: number, to: number) =>
  new ModelCommand<Model, Real>(`read(${stream}, ${from} to ${to})`, async (model, { writers }) => {
    const found: [number, unknown][] = [];
    const range = { fromVersion: from, toVersion: to };
    for await (const { version, data } of (writers[0] as EventStore).read(stream, range))
      found.push([version, data]);

    const expected = known(model, stream).map((value, at) => [at + 1, value] as const);
    expect(found).toEqual(expected.filter(([version]) => version >= from && version <= to));
  });

const stateAt = (stream: string, who: number, version: number | "now") =>
  new ModelCommand<Model, Real>(`stateAt(${stream}, ${version})`, async (model, { writers }) => {
    const state = new StreamState(writers[who] as EventStore, stream, FOLD);
    const all = known(model, stream);
    if (version === "now") expect(await state.current()).toEqual({ state: all, version: all.length });
    else if (version > all.length)
      await expect(state.stateAt(version)).rejects.toMatchObject({ code: "NOT_FOUND" });
    else expect(await state.stateAt(version)).toEqual({ state: all.slice(0, version), version });
  });

const project = (isRebuilt: boolean) =>
  new ModelCommand<Model, Real>(isRebuilt ? "rebuild" : "catchUp", async (model, { projection }) => {
    await (isRebuilt ? projection.rebuild() : projection.catchUp());

    expect(projection.state).toEqual(Object.fromEntries(model));
    const versions = [...model].map(([stream, { length }]) => [stream, length]);
    expect(projection.checkpoint).toEqual(Object.fromEntries(versions));
  });

const verify = (stream: string) =>
  new ModelCommand<Model, Real>(`verify(${stream})`, async (model, { writers }) => {
    const { length } = known(model, stream);
    expect(await (writers[1] as EventStore).verify(stream)).toMatchObject({ ok: true, version: length });
  });

const stream = fc.constantFrom("a", "b.c");
const who = fc.nat(1);
const data = fc.array(fc.jsonValue({ maxDepth: 2 }), { minLength: 1, maxLength: 4 });
const commands = [
  fc
    .tuple(stream, who, data, fc.constantFrom<number | "any">("any", "any", 0, 0, -1, 1))
    .map(([s, w, d, off]) => append(s, w, d, off)),
  fc.tuple(stream, fc.integer({ min: 1, max: 6 }), fc.nat(9)).map(([s, from, to]) => readFrom(s, from, to)),
  fc
    .tuple(stream, who, fc.oneof(fc.nat(9), fc.constant("now" as const)))
    .map(([s, w, v]) => stateAt(s, w, v)),
  fc.boolean().map(project),
  stream.map(verify),
];

it("behaves as lists of events do, whatever is appended, read, folded and projected by two writers", async () => {
  const property = fc.asyncProperty(fc.commands(commands, { maxCommands: 40, size: "max" }), async (run) => {
    const stores = new MemoryStores();
    const clock = new FakeClock();
    const writers = [new EventStore(stores, { clock }), new EventStore(stores, { clock })];
    const projection = new Projection<Record<string, Data[]>>(writers[0] as EventStore, {
      name: "all",
      streams: "#",
      initial: () => ({}),
      apply: (state, event) => ({
        ...state,
        [event.stream]: [...(state[event.stream] ?? []), event.data as Data],
      }),
    });

    await fc.asyncModelRun(() => ({ model: new Map(), real: { stores, writers, projection } }), run);
  });

  await fc.assert(property, { numRuns: 150 });
});

/** Stores of which one event comes back otherwise than it was stored. */
function tampered(
  stores: Stores,
  version: number,
  change: (event: LoggedEvent) => LoggedEvent | undefined,
): Stores {
  return altered(stores, {
    events: {
      async read(...given) {
        const events = await stores.events.read(...given);
        return events.flatMap((event) => (event.version === version ? (change(event) ?? []) : event));
      },
    },
  });
}

it("names the first event that was changed, moved, taken out or chained anew, wherever it is", async () => {
  const change = fc.constantFrom<readonly [string, (event: LoggedEvent) => LoggedEvent | undefined, number]>(
    ["its data", (event) => ({ ...event, body: event.body.replace('"n":', '"m":') }), 0],
    [
      "its hash",
      (event) => ({ ...event, hash: event.hash.replace(/^./, (c) => (c === "0" ? "1" : "0")) }),
      0,
    ],
    ["its time", (event) => ({ ...event, body: event.body.replace("2026", "2027") }), 0],
    ["its type", (event) => ({ ...event, body: event.body.replace("Said", "Sade") }), 0],
    ["its absence", () => undefined, 0],
  );
  const shape = fc.record({ count: fc.integer({ min: 1, max: 30 }), at: fc.nat(29), change });
  const property = fc.asyncProperty(shape, async ({ count, at, change: [, alter] }) => {
    const stores = new MemoryStores();
    const store = new EventStore(stores, { clock: new FakeClock() });
    await store.append(
      "a",
      Array.from({ length: count }, (_none, n) => ({ type: "Said", data: { n } })),
    );
    const version = (at % count) + 1;
    const read = new EventStore(tampered(stores, version, alter));

    expect(await read.verify("a")).toMatchObject({ ok: false, version });
    expect(await store.verify("a")).toMatchObject({ ok: true, version: count });
  });

  await fc.assert(property, { numRuns: 200 });
});

it("names the event behind one that was changed together with its hash", async () => {
  const stores = new MemoryStores();
  const store = new EventStore(stores, { clock: new FakeClock() });
  await store.append(
    "a",
    [1, 2, 3].map((n) => ({ type: "Said", data: { n } })),
  );
  const [first] = await stores.events.read("a", 0, 1);
  const forged = tampered(stores, 2, ({ version, body }) => {
    const other = body.replace('"n":2', '"n":9');
    return { version, body: other, hash: chainHash("a", first as LoggedEvent, other) };
  });

  expect(await new EventStore(forged).verify("a")).toEqual({
    ok: false,
    version: 3,
    reason: "changed",
  });
});

it("finds by a noted hash a stream that was written anew as a whole, and one that was cut", async () => {
  const clock = new FakeClock();
  const [store, other] = [
    new EventStore(new MemoryStores(), { clock }),
    new EventStore(new MemoryStores(), { clock }),
  ];
  const events = [1, 2, 3].map((n) => ({ type: "Said", data: { n }, id: `e-${n}` }));
  const noted = await store.append("a", events);
  await other.append("a", [...events.slice(0, 2), { type: "Said", data: { n: 4 }, id: "e-3" }]);
  const short = new EventStore(new MemoryStores(), { clock });
  await short.append("a", events.slice(0, 2));

  expect(await store.verify("a", noted)).toEqual({ ok: true, ...noted });
  expect(await other.verify("a", noted)).toEqual({ ok: false, version: 3, reason: "anchor" });
  expect(await short.verify("a", noted)).toEqual({ ok: false, version: 3, reason: "missing" });
});
