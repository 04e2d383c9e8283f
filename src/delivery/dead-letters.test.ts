import { describe, expect, it } from "vitest";
import { Codecs, PLAIN } from "../codec/codecs.ts";
import { world } from "../../test/support/agents.ts";
import { delivery } from "../../test/support/consuming.ts";
import { BrokerWrapper } from "../core/broker-wrapper.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { toDeadLetter } from "./dead-letter.ts";
import { DeadLetters, type DeadLetterFilter } from "./dead-letters.ts";

/** Dead letters on a broker of their own, written by hand. */
async function shelf() {
  const clock = new FakeClock();
  const broker = new MemoryBroker({ clock });
  await broker.open();
  await broker.admin.declare("dlq.a", { retentionMs: 86_400_000 });
  const publish = async (envelope: Envelope): Promise<void> => {
    const [result] = await broker.publish([envelope]);
    if (result?.ok === false) throw result.error;
  };
  const letters = new DeadLetters({
    broker,
    clock,
    codecs: new Codecs(PLAIN, DEFAULT_LIMITS),
    agentId: "a",
    ownChannel: "my.letters",
    publish,
  });
  const giveUp = async (
    init: Parameters<typeof delivery>[0] & {
      readonly code?: string;
      readonly group?: string | null;
      readonly to?: string;
    } = {},
  ): Promise<void> => {
    const { code = "REJECTED", group = "g", to = "dlq.a", ...rest } = init;
    const error = new HeraldError(code, "No.");
    await publish(
      toDeadLetter({ delivery: delivery(rest), error, agentId: "a", group, channel: to, now: clock.now() }),
    );
  };
  return { clock, broker, letters, giveUp };
}

const ids = (entries: readonly { readonly id: string }[]): string[] => entries.map(({ id }) => id);

describe("a dead letter that was written twice", () => {
  it("is one: listed, counted, sent back and forgotten once, and two groups' are two", async () => {
    const { broker, letters, giveUp } = await shelf();
    for (const group of ["g", "g", "h"]) await giveUp({ id: "m", channel: "orders", group });

    expect((await letters.list()).map(({ group }) => group)).toEqual(["g", "h"]);
    expect((await letters.stats()).total).toBe(2);
    expect(await letters.redrive({ group: "g" })).toBe(1);
    expect((await broker.admin.browse("orders", { limit: 10 })).length).toBe(1);
    expect(await letters.purge()).toBe(1);
    expect(await broker.admin.browse("dlq.a", { limit: 10 })).toEqual([]);
  });
});

describe("a list of dead letters", () => {
  it("shows each with everything that is known of it", async () => {
    const { clock, letters, giveUp } = await shelf();
    await giveUp({ id: "m", channel: "orders", payload: { a: 1 }, headers: { h: "1" } });

    const [entry] = await letters.list();
    expect(entry).toMatchObject({
      id: "m",
      channel: "orders",
      group: "g",
      agentId: "a",
      code: "REJECTED",
      reason: "No.",
      attempts: 1,
      failures: [{ attempt: 1, code: "REJECTED", message: "No.", at: clock.now() }],
      firstFailedAt: clock.now(),
      lastFailedAt: clock.now(),
      redriven: 0,
      deadLetterChannel: "dlq.a",
      position: expect.any(String),
      headers: { h: "1" },
      message: {
        id: "m",
        channel: "orders",
        payload: { a: 1 },
        metadata: { retryCount: 0, headers: { h: "1" } },
      },
    });
    expect(new TextDecoder().decode(entry?.body)).toBe('{"a":1}');
  });

  it("shows what cannot be decoded by its bytes", async () => {
    const { letters, giveUp } = await shelf();
    await giveUp({ id: "m", body: new Uint8Array([0xff, 0x00]), code: "MALFORMED" });

    const entry = await letters.get("m");
    expect(entry?.message).toBeUndefined();
    expect([...(entry?.body ?? [])]).toEqual([0xff, 0x00]);
  });

  it("gives bytes of its own: changing them changes nothing that is redriven", async () => {
    const { broker, letters, giveUp } = await shelf();
    await giveUp({ id: "m", channel: "c", payload: "fine" });
    (await letters.get("m"))?.body.fill(0);
    const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 1 });
    await letters.redrive();

    const [again] = await subscription.receive(1, 0);
    expect(new TextDecoder().decode(again?.envelope.body)).toBe('"fine"');
  });

  it("holds the oldest thousand, or as many as are asked for", async () => {
    const { letters, giveUp } = await shelf();
    for (let i = 0; i < 1100; i++) await giveUp({ id: `m${i}` });

    expect(await letters.list()).toHaveLength(1000);
    expect(ids(await letters.list({ limit: 3 }))).toEqual(["m0", "m1", "m2"]);
    expect(await letters.list({ limit: 2000 })).toHaveLength(1100);
    expect(await letters.list({ limit: 0 })).toEqual([]);
  });

  it("covers every dlq. channel, our own wherever it is, and nothing that is no dead letter", async () => {
    const { broker, letters, giveUp } = await shelf();
    await giveUp({ id: "a" });
    await giveUp({ id: "b", to: "dlq.other" });
    await giveUp({ id: "c", to: "my.letters" });
    await giveUp({ id: "d", to: "elsewhere" });
    await broker.publish([delivery({ id: "e", channel: "dlq.a" }).envelope]);

    expect(ids(await letters.list())).toEqual(["a", "b", "c"]);
    expect(ids(await letters.list({ deadLetterChannel: "elsewhere" }))).toEqual(["d"]);
  });

  it.each([
    [{ id: "a" }, ["a"]],
    [{ channel: "orders" }, ["a", "b"]],
    [{ group: "h" }, ["b"]],
    [{ code: "MALFORMED" }, ["c"]],
    [{ agentId: "a" }, ["a", "b", "c"]],
    [{ agentId: "b" }, []],
    [{ channel: "orders", group: "h" }, ["b"]],
    [{ channel: "orders", code: "MALFORMED" }, []],
  ])("is filtered by everything that is given: %j", async (filter, expected) => {
    const { letters, giveUp } = await shelf();
    await giveUp({ id: "a", channel: "orders" });
    await giveUp({ id: "b", channel: "orders", group: "h" });
    await giveUp({ id: "c", channel: "bills", code: "MALFORMED" });

    expect(ids(await letters.list(filter))).toEqual(expected);
  });

  it("is filtered by the time of the last failure", async () => {
    const { clock, letters, giveUp } = await shelf();
    await giveUp({ id: "old" });
    clock.advance(1000);
    await giveUp({ id: "new" });

    expect(ids(await letters.list({ before: clock.now() }))).toEqual(["old"]);
  });

  it.each<unknown>([
    null,
    5,
    [],
    new Map(),
    { chanel: "c" },
    { id: undefined },
    { channel: 5 },
    { limit: Number.NaN },
  ])("is not found by what is no filter, and nothing is purged or sent back by it (%#)", async (filter) => {
    const { letters, giveUp } = await shelf();
    await giveUp({ id: "m" });
    const refused = expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field: "filter" } });

    await expect(letters.list(filter as DeadLetterFilter)).rejects.toEqual(refused);
    await expect(letters.purge(filter as DeadLetterFilter)).rejects.toEqual(refused);
    await expect(letters.redrive(filter as DeadLetterFilter)).rejects.toEqual(refused);
    expect((await letters.stats()).total).toBe(1);
  });

  it("needs a broker that can be looked into, and says so otherwise", async () => {
    const blind = new BrokerWrapper(new MemoryBroker());
    delete (blind as { admin?: unknown }).admin;
    const options = {
      broker: blind,
      clock: new FakeClock(),
      codecs: new Codecs(PLAIN, DEFAULT_LIMITS),
      agentId: "a",
      ownChannel: "x",
    };
    const letters = new DeadLetters({ ...options, publish: () => Promise.resolve() });

    await expect(letters.list()).rejects.toMatchObject({ code: "UNSUPPORTED", message: /memory/ });
  });
});

describe("purging", () => {
  it("forgets what was meant, and nothing else", async () => {
    const { letters, giveUp } = await shelf();
    for (const id of ["a", "b", "c", "d"]) await giveUp({ id, channel: id === "d" ? "bills" : "orders" });

    expect(await letters.purge("a")).toBe(1);
    expect(await letters.purge("a")).toBe(0);
    expect(await letters.purge({ channel: "orders", limit: 1 })).toBe(1);
    expect(ids(await letters.list())).toEqual(["c", "d"]);
    expect(await letters.purge()).toBe(2);
    expect(await letters.list()).toEqual([]);
  });
});

describe("numbers of dead letters", () => {
  it("count by channel and by code, whatever the channel is called", async () => {
    const { clock, letters, giveUp } = await shelf();
    const from = clock.now();
    await giveUp({ channel: "constructor" });
    await giveUp({ channel: "__proto__" });
    clock.advance(5);
    await giveUp({ channel: "__proto__", code: "EXPIRED" });

    const stats = await letters.stats();
    expect(stats).toMatchObject({
      total: 3,
      byCode: { REJECTED: 2, EXPIRED: 1 },
      oldestAt: from,
      newestAt: from + 5,
    });
    expect(Object.entries(stats.byChannel).toSorted()).toEqual([
      ["__proto__", 2],
      ["constructor", 1],
    ]);
  });

  it("of none are zero, without times", async () => {
    const { letters } = await shelf();
    expect(await letters.stats()).toEqual({
      total: 0,
      byChannel: {},
      byCode: {},
      oldestAt: undefined,
      newestAt: undefined,
    });
  });
});

describe("sending back", () => {
  it("by an id that is not there is NOT_FOUND; by a filter that meets none it is zero", async () => {
    const { letters } = await shelf();
    await expect(letters.redrive("m")).rejects.toMatchObject({ code: "NOT_FOUND", details: { id: "m" } });
    expect(await letters.redrive({ channel: "c" })).toBe(0);
    expect(await letters.redrive()).toBe(0);
  });

  it("takes a dead letter away only once the broker has the message", async () => {
    const { broker, letters, giveUp } = await shelf();
    await giveUp({ id: "m" });
    const publish = broker.publish.bind(broker);
    broker.publish = () => Promise.reject(new HeraldError("NOT_CONNECTED", "The broker is away."));
    await expect(letters.redrive("m")).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    expect(ids(await letters.list())).toEqual(["m"]);

    broker.publish = publish;
    expect(await letters.redrive("m")).toBe(1);
    expect(await letters.list()).toEqual([]);
  });

  it("stops at the limit, the oldest first", async () => {
    const { letters, giveUp } = await shelf();
    for (const id of ["a", "b", "c"]) await giveUp({ id });

    expect(await letters.redrive({ limit: 2 })).toBe(2);
    expect(ids(await letters.list())).toEqual(["c"]);
  });

  it("ends although everything fails again at once, while the clock stands still", async () => {
    const { agent } = world();
    const a = await agent("a", { retry: { maxAttempts: 1 } });
    let runs = 0;
    await a.subscribe("c", () => {
      runs++;
      throw new Error("hopeless");
    });
    for (let i = 0; i < 1200; i++) await a.publish("c", i);
    expect((await a.deadLetters.stats()).total).toBe(1200);

    expect(await a.deadLetters.redrive()).toBe(1200);
    expect(runs).toBe(2400);
    expect((await a.deadLetters.stats()).total).toBe(1200);
    expect((await a.deadLetters.list({ limit: 1 }))[0]?.redriven).toBe(1);
  });
});
