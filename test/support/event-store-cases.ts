import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ConcurrencyError } from "../../src/core/errors.ts";
import type { Stores } from "../../src/core/store.ts";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import type { StoredEvent } from "../../src/patterns/events/event.ts";
import { Projection } from "../../src/patterns/events/projection.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { StreamState, type Fold } from "../../src/patterns/events/state.ts";
import type { StoresHarness, StoresPlace } from "./stores.ts";

const added = (n: number) => ({ type: "Added", data: { n } });
const range = (count: number) => Array.from({ length: count }, (_none, at) => at + 1);

async function all(events: AsyncIterable<StoredEvent>): Promise<StoredEvent[]> {
  const found: StoredEvent[] = [];
  for await (const event of events) found.push(event);
  return found;
}

const SUM: Fold<{ sum: number }> = {
  name: "sum",
  initial: () => ({ sum: 0 }),
  apply: (state, { data }) => ({ sum: state.sum + (data as { n: number }).n }),
};

/** What an event store does, over whatever keeps it. */
export function eventStoreCases(harness: StoresHarness): void {
  describe(`an event store over ${harness.name}`, () => {
    let place: StoresPlace;
    let stores: Stores;
    let store: EventStore;

    beforeAll(() => harness.start(), 60_000);
    afterAll(() => harness.stop());
    beforeEach(async () => {
      place = harness.place();
      stores = await place.open();
      store = new EventStore(stores);
    });
    afterEach(() => place.close());

    it("gives back what was appended, numbered without a gap, with data, metadata, id and time", async () => {
      const metadata = { by: "ada", why: '\u{1f680} "quoted"\nlines' };
      await store.append("order.1", {
        type: "Placed",
        data: { total: 12.5, lines: ["a", null] },
        id: "e-1",
        metadata,
      });
      await store.append("order.1", [added(2), added(3)]);

      const events = await all(store.read("order.1"));

      expect(events.map(({ version, type }) => [version, type])).toEqual([
        [1, "Placed"],
        [2, "Added"],
        [3, "Added"],
      ]);
      expect(events[0]).toMatchObject({
        stream: "order.1",
        id: "e-1",
        data: { total: 12.5, lines: ["a", null] },
        metadata,
      });
      expect(events[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(await all(store.read("order.1", { fromVersion: 2, toVersion: 2 }))).toEqual([events[1]]);
      expect(await all(store.read("order.2"))).toEqual([]);
      expect(await store.version("order.1")).toBe(3);
      expect(await store.version("order.2")).toBe(0);
    });

    it("refuses an append that expects another version, says which there is, and stores nothing of it", async () => {
      await store.append("a", [added(1), added(2)], { expectedVersion: 0 });

      const refused = await store
        .append("a", [added(3), added(4)], { expectedVersion: 1 })
        .catch((error) => error);

      expect(refused).toMatchObject({
        name: "ConcurrencyError",
        code: "CONFLICT",
        stream: "a",
        expectedVersion: 1,
        actualVersion: 2,
      } satisfies Partial<ConcurrencyError>);
      expect(await store.version("a")).toBe(2);
      await expect(store.append("b", added(1), { expectedVersion: 4 })).rejects.toMatchObject({
        actualVersion: 0,
      });
    });

    it("lets exactly one of 50 writers win that expect the same version", async () => {
      const others = await Promise.all(range(5).map(async () => new EventStore(await place.open())));
      await store.append("a", added(0));
      const writers = range(50).map((n) =>
        (others[n % 5] as EventStore).append("a", added(n), { expectedVersion: 1 }),
      );

      const results = await Promise.allSettled(writers);

      const lost = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
      expect(lost.map(({ name, actualVersion }) => [name, actualVersion])).toEqual(
        range(49).map(() => ["ConcurrencyError", 2]),
      );
      expect(await store.version("a")).toBe(2);
    });

    it("keeps all that several processes append at once without an expectation, in one unbroken chain", async () => {
      const others = await Promise.all(range(3).map(async () => new EventStore(await place.open())));

      await Promise.all(
        others.flatMap((other, who) => range(40).map((n) => other.append("a", added(who * 1000 + n)))),
      );

      const found = (await all(store.read("a"))).map(({ data }) => (data as { n: number }).n);
      expect(found.toSorted((a, b) => a - b)).toEqual(
        range(3).flatMap((_one, who) => range(40).map((n) => who * 1000 + n)),
      );
      // Each process's own stay in their order.
      expect(found.filter((n) => n < 1000)).toEqual(range(40));
      expect(await store.verify("a")).toMatchObject({ ok: true, version: 120 });
    });

    it("recognises an append that is repeated with its ids, and refuses one with other ids", async () => {
      const events = [
        { ...added(1), id: "x-1" },
        { ...added(2), id: "x-2" },
      ];
      const first = await store.append("a", events, { expectedVersion: 0 });
      await store.append("a", added(3));

      expect(await store.append("a", events, { expectedVersion: 0 })).toEqual(first);
      await expect(store.append("a", [events[0] as never, added(2)], { expectedVersion: 0 })).rejects.toThrow(
        "version 3",
      );
      expect(await store.version("a")).toBe(3);
    });

    it("recognises the repetition of an append of thousands of events", async () => {
      const events = range(2500).map((n) => ({ ...added(n), id: `x-${n}` }));
      const first = await store.append("a", events, { expectedVersion: 0 });

      expect(await store.append("a", events, { expectedVersion: 0 })).toEqual(first);
      expect(await store.version("a")).toBe(2500);
    });

    it("goes from catching up to live without a gap or a repeat while others append", async () => {
      const other = new EventStore(await place.open());
      await store.append("a", range(30).map(added));
      const versions: number[] = [];
      // By a clock that stands still nobody looks by himself: every event is told of.
      const reader = new EventStore(stores, { clock: new FakeClock() });
      const reading = (async () => {
        for await (const event of reader.subscribe("a", { fromVersion: 11 })) {
          versions.push(event.version);
          if (event.version === 200) return;
        }
      })();

      for (let n = 31; n <= 200; n++) await (n % 2 === 0 ? store : other).append("a", added(n));
      await reading;

      expect(versions).toEqual(range(200).slice(10));
    });

    it("ends a subscription that waits when its signal fires", async () => {
      const ending = new AbortController();
      const reading = all(store.subscribe("nothing", { signal: ending.signal }));

      setImmediate(() => ending.abort());

      expect(await reading).toEqual([]);
    });

    it("shows the state at every version it has had, and refuses one that it never had", async () => {
      await store.append("a", range(5).map(added));
      const state = new StreamState(store, "a", SUM);

      expect(await state.current()).toEqual({ state: { sum: 15 }, version: 5 });
      const past = await Promise.all([0, 1, 2, 3, 4, 5].map((version) => state.stateAt(version)));
      expect(past.map(({ state: { sum } }) => sum)).toEqual([0, 1, 3, 6, 10, 15]);
      await expect(state.stateAt(6)).rejects.toMatchObject({ code: "NOT_FOUND" });
    });

    it("begins with the latest snapshot, and not with one that is of another revision, of a later version or of another stream", async () => {
      await store.append("a", range(10).map(added));
      let applied = 0;
      const counted: Fold<{ sum: number }> = {
        ...SUM,
        snapshotEvery: 5,
        apply: (state, event) => (applied++, SUM.apply(state, event)),
      };
      const appliedBy = async (run: () => Promise<unknown>): Promise<number> => {
        applied = 0;
        await run();
        return applied;
      };
      const state = new StreamState(store, "a", counted);

      expect(await appliedBy(() => state.current())).toBe(10);
      await store.append("a", added(11));
      expect(await appliedBy(() => state.current())).toBe(1);
      expect(await state.current()).toEqual({ state: { sum: 66 }, version: 11 });
      expect(await appliedBy(() => state.stateAt(4))).toBe(4);
      const revised = new StreamState(store, "a", { ...counted, revision: 2 });
      expect(await appliedBy(() => revised.stateAt(11))).toBe(11);
      const kept = await stores.values.get("snapshots.a", "sum");
      await store.append("b", range(12).map(added));
      await stores.values.put("snapshots.b", "sum", kept?.value ?? "");
      expect(await appliedBy(() => new StreamState(store, "b", counted).stateAt(12))).toBe(12);
    });

    it("projects the events of many streams, and another process goes on where one stopped", async () => {
      await Promise.all(range(4).map((n) => store.append(`order.${n}`, range(n).map(added))));
      await store.append("customer.1", added(1000));
      const options = {
        name: "totals",
        streams: "order.*",
        initial: (): Record<string, number> => ({}),
        apply: (state: Record<string, number>, { stream, data }: StoredEvent) => ({
          ...state,
          [stream]: (state[stream] ?? 0) + (data as { n: number }).n,
        }),
      };
      const first = new Projection(store, options);
      await first.catchUp();
      await store.append("order.4", added(5));
      const seen: StoredEvent[] = [];
      const second = new Projection(new EventStore(await place.open()), {
        ...options,
        apply: (state, event) => (seen.push(event), options.apply(state, event)),
      });

      await second.catchUp();

      expect(second.state).toEqual({ "order.1": 1, "order.2": 3, "order.3": 6, "order.4": 15 });
      expect(second.checkpoint).toEqual({ "order.1": 1, "order.2": 2, "order.3": 3, "order.4": 5 });
      expect(seen.map(({ stream, version }) => [stream, version])).toEqual([["order.4", 5]]);
      await second.rebuild();
      expect(seen).toHaveLength(12);
      expect(second.state).toEqual({ "order.1": 1, "order.2": 3, "order.3": 6, "order.4": 15 });
    });

    it("projects what comes while it runs, and keeps no checkpoint of what failed", async () => {
      let isFailing = true;
      const projection = new Projection<number[]>(store, {
        name: "list",
        streams: "a",
        initial: () => [],
        apply: (state, { data }) => {
          const { n } = data as { n: number };
          state.push(n);
          if (n === 3 && isFailing) throw new Error("a disk was full");
          return state;
        },
      });
      await store.append("a", [added(1), added(2)]);
      await projection.catchUp();
      await store.append("a", [added(3), added(4)]);

      await expect(projection.catchUp()).rejects.toThrow("a disk was full");
      isFailing = false;
      const ending = new AbortController();
      const running = projection.run(ending.signal);
      await expect.poll(() => projection.state).toEqual([1, 2, 3, 4]);
      await new EventStore(await place.open()).append("a", added(5));
      await expect.poll(() => projection.state).toEqual([1, 2, 3, 4, 5]);
      ending.abort();
      await running;
    });

    it("applies each event once to what is kept when two processes run one projection", async () => {
      const stored = await Promise.all(range(2).map(async () => new EventStore(await place.open())));
      const projections = stored.map(
        (one) =>
          new Projection<number>(one, {
            name: "count",
            streams: "s.#",
            initial: () => 0,
            apply: (count, { data }) => count + (data as { n: number }).n,
          }),
      );
      for (let round = 0; round < 10; round++) {
        await Promise.all(range(3).map((n) => store.append(`s.${n}`, added(n))));
        await Promise.all(projections.map((projection) => projection.catchUp()));
      }

      await Promise.all(projections.map((projection) => projection.catchUp()));

      expect(projections.map(({ state }) => state)).toEqual([60, 60]);
    });

    it("goes on from what another process has projected meanwhile, and never sets it back", async () => {
      await store.append("a", added(1));
      const applied: number[] = [];
      let release = (): void => {};
      let begun = (): void => {};
      const beginning = new Promise<void>((resolve) => (begun = resolve));
      const options = (apply: (n: number) => unknown) => ({
        name: "sum",
        streams: "a",
        initial: () => 0,
        apply: async (sum: number, { data }: StoredEvent) => {
          const { n } = data as { n: number };
          await apply(n);
          return sum + n;
        },
      });
      const slow = new Projection<number>(
        store,
        options((n) => {
          applied.push(n);
          begun();
          return n === 1 ? new Promise<void>((resolve) => (release = resolve)) : undefined;
        }),
      );
      const catching = slow.catchUp();
      await beginning;
      await store.append("a", [added(2), added(3)]);
      await new Projection<number>(
        new EventStore(await place.open()),
        options(() => undefined),
      ).catchUp();

      const kept = await stores.values.get("projections", "sum");

      release();
      await catching;

      expect(slow.state).toBe(6);
      expect(applied).toEqual([1, 2, 3]);
      // What the slow one came to was not written: the quick one's is as good.
      expect(await stores.values.get("projections", "sum")).toEqual(kept);
    });

    it("keeps values by token: put, put if, delete if, list", async () => {
      const { values } = stores;
      const one = await values.put("s", "k", "v 1", null);
      expect(await values.put("s", "k", "lost", null)).toBeUndefined();
      const two = await values.put("s", "k", "v 2\nline", one);
      expect(await values.put("s", "k", "lost", one)).toBeUndefined();

      expect(await values.get("s", "k")).toEqual({ value: "v 2\nline", token: two });
      expect(await values.get("s", "other")).toBeUndefined();
      expect(await values.delete("s", "k", one)).toBe(false);
      await values.put("s", "a", "");
      await values.put("other", "b", "x");
      expect(await values.keys("s")).toEqual(["a", "k"]);
      expect(await values.get("s", "a")).toMatchObject({ value: "" });
      expect(await values.delete("s", "k", two)).toBe(true);
      expect(await values.delete("s", "k")).toBe(false);
      expect(await values.keys("s")).toEqual(["a"]);
    });
  });
}
