import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { altered } from "../../../test/support/altered-stores.ts";
import { HeraldError } from "../../core/errors.ts";
import { MemoryStores } from "../../stores/memory-stores.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { EventStore } from "./event-store.ts";
import type { StoredEvent } from "./event.ts";

async function all(events: AsyncIterable<StoredEvent>): Promise<StoredEvent[]> {
  const found: StoredEvent[] = [];
  for await (const event of events) found.push(event);
  return found;
}

describe("an event store", () => {
  it("stores canonical JSON whatever the data, and a hash that anybody can work out from what is documented", async () => {
    const any = fc.jsonValue({ maxDepth: 3 });
    const metadata = fc.option(fc.dictionary(fc.string(), any), { nil: undefined });
    const property = fc.asyncProperty(
      any,
      metadata,
      fc.string({ minLength: 1, unit: "grapheme" }),
      async (data, extra, type) => {
        const stores = new MemoryStores();
        const store = new EventStore(stores, { clock: new FakeClock() });
        const about = extra === undefined ? {} : { metadata: extra };
        await store.append("a", [{ type: "First" }, { type, data, ...about }]);

        const [first, logged] = await stores.events.read("a", 0, 2);
        const event = JSON.parse(logged?.body ?? "") as object;
        expect(logged?.body).toBe(canonicalize(event));
        const link = canonicalize({ event, previous: first?.hash, stream: "a", version: 2 }) ?? "";
        expect(logged?.hash).toBe(createHash("sha256").update(link).digest("hex"));
        expect(await store.verify("a")).toMatchObject({ ok: true, version: 2 });
      },
    );

    await fc.assert(property, { numRuns: 300 });
  });

  it.each<readonly [string, (store: EventStore) => Promise<unknown>, string]>([
    ["a stream's name", (store) => store.append("a b", { type: "T" }), "INVALID_CHANNEL"],
    ["no event", (store) => store.append("a", []), "INVALID_ARGUMENT"],
    ["an event without a type", (store) => store.append("a", { type: "" }), "INVALID_ARGUMENT"],
    ["an id with a space", (store) => store.append("a", { type: "T", id: "a b" }), "INVALID_ARGUMENT"],
    [
      "an expected version below 0",
      (store) => store.append("a", { type: "T" }, { expectedVersion: -1 }),
      "INVALID_ARGUMENT",
    ],
    [
      "an expected version that is no number",
      (store) => store.append("a", { type: "T" }, { expectedVersion: "1" as never }),
      "INVALID_ARGUMENT",
    ],
    [
      "a number that JSON has not",
      (store) => store.append("a", { type: "T", data: { n: Number.NaN } }),
      "UNSERIALIZABLE",
    ],
    ["half a surrogate pair", (store) => store.append("a", { type: "T", data: "\ud800" }), "UNSERIALIZABLE"],
    [
      "data that is nested too deep",
      (store) =>
        store.append("a", { type: "T", data: JSON.parse("[".repeat(70) + "]".repeat(70)) as unknown }),
      "DEPTH_LIMIT",
    ],
    [
      "an event of more than 1 MiB",
      (store) => store.append("a", { type: "T", data: "é".repeat(600_000) }),
      "MESSAGE_TOO_LARGE",
    ],
    ["a version of 0", (store) => all(store.read("a", { fromVersion: 0 })), "INVALID_ARGUMENT"],
    ["a pattern", (store) => store.streams("a b"), "INVALID_CHANNEL"],
  ])("refuses %s, and stores nothing", async (_what, run, code) => {
    const stores = new MemoryStores();
    await expect(run(new EventStore(stores))).rejects.toMatchObject({ code });
    expect(await stores.events.streams()).toEqual([]);
  });

  it("keeps apart what was appended in one turn: one that is refused does not take the others with it", async () => {
    const store = new EventStore(new MemoryStores());

    const results = await Promise.allSettled([
      store.append("a", { type: "One" }),
      store.append("a", { type: "Two" }, { expectedVersion: 1 }),
      store.append("a", { type: "Late" }, { expectedVersion: 1 }),
      store.append("a", { type: "Three" }),
    ]);

    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    expect((await all(store.read("a"))).map(({ type }) => type)).toEqual(["One", "Two", "Three"]);
  });

  it("tells an append that fails, and goes on with the next: what is stored is asked anew", async () => {
    const stores = new MemoryStores();
    let isBroken = false;
    const flaky = altered(stores, {
      events: {
        async append(...given) {
          const result = await stores.events.append(...given);
          if (isBroken) throw new HeraldError("PUBLISH_UNKNOWN", "The answer was lost.");
          return result;
        },
      },
    });
    const store = new EventStore(flaky);
    await store.append("a", { type: "One" });
    isBroken = true;
    const lost = { type: "Two", id: "two" };
    await expect(store.append("a", lost, { expectedVersion: 1 })).rejects.toMatchObject({
      code: "PUBLISH_UNKNOWN",
    });
    isBroken = false;

    expect(await store.append("a", lost, { expectedVersion: 1 })).toMatchObject({ version: 2 });
    expect(await store.append("a", { type: "Three" })).toMatchObject({ version: 3 });
  });

  it("makes of old events what a program reads today, step by step, and leaves what is stored alone", async () => {
    const stores = new MemoryStores();
    await new EventStore(stores).append("a", [{ type: "Placed", data: { total: 4 } }, { type: "Sent" }]);
    const store = new EventStore(stores, {
      upcasters: {
        Placed: ({ data }) => ({
          type: "Placed.v2",
          data: { cents: (data as { total: number }).total * 100 },
        }),
        "Placed.v2": ({ data }) => ({ type: "Placed.v3", data: { ...(data as object), currency: "EUR" } }),
      },
    });

    expect((await all(store.read("a"))).map(({ type, data, version }) => [version, type, data])).toEqual([
      [1, "Placed.v3", { cents: 400, currency: "EUR" }],
      [2, "Sent", null],
    ]);
    expect(await store.verify("a")).toMatchObject({ ok: true });
    const circle = new EventStore(stores, {
      upcasters: { Placed: ({ data }) => ({ type: "Placed", data }) },
    });
    await expect(all(circle.read("a"))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("finds by itself what a store has not told it of", async () => {
    const clock = new FakeClock();
    const silent = altered(new MemoryStores(), { events: { watch: () => () => undefined } });
    const store = new EventStore(silent, { clock });
    const seen: number[] = [];
    const ending = new AbortController();
    const reading = (async () => {
      for await (const { version } of store.subscribe("a", { signal: ending.signal })) seen.push(version);
    })();
    await clock.advanceAsync(10);
    await store.append("a", { type: "One" });
    await clock.advanceAsync(1000);

    expect(seen).toEqual([1]);
    ending.abort();
    await reading;
    expect(clock.pending).toBe(0);
  });
});
