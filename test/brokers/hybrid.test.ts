import { describe, expect, it } from "vitest";
import { hybrid } from "../../src/brokers/hybrid/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { conforms } from "../support/conforms.ts";
import { envelope } from "../support/envelopes.ts";
import { hybridFilesHarness, hybridMemoryHarness } from "../support/harness-hybrid.ts";
import { PlainBroker } from "../support/plain-broker.ts";

testBroker({ ...hybridMemoryHarness, scale: 0.1 }, { describe, it });

it("loses nothing on its members when consumers in processes of their own are killed", async () => {
  await conforms(hybridFilesHarness, (id) => id.startsWith("i02"));
}, 300_000);

const refusal = (code: string, field?: string) =>
  expect.objectContaining(
    field === undefined ? { code } : { code, details: expect.objectContaining({ field }) },
  );

interface Team {
  readonly events: MemoryBroker;
  readonly rest: MemoryBroker;
  readonly broker: Broker;
}

function team(): Team {
  const [events, rest] = [new MemoryBroker(), new MemoryBroker()];
  return { events, rest, broker: hybrid({ "events.#": events, "#": rest }) };
}

async function channelsOf(broker: Broker): Promise<readonly string[]> {
  return (await broker.admin?.list()) ?? [];
}

describe("a hybrid broker", () => {
  it("puts every channel on the member of its most specific route, and results back in their places", async () => {
    const [wide, narrow, rest] = [new MemoryBroker(), new MemoryBroker(), new MemoryBroker()];
    await using broker = asDisposable(hybrid({ "a.#": wide, "a.b.*": narrow, "#": rest }));
    await broker.open();
    const channels = ["a.b.c", "x", "a.b", "a.b.c.d"];
    for (const channel of channels) await broker.admin?.declare(channel, { retentionMs: 60_000 });
    const results = await broker.publish(channels.map((channel) => envelope({ channel })));

    expect(results.every(({ ok }) => ok)).toBe(true);
    expect(await channelsOf(narrow)).toEqual(["a.b.c"]);
    expect((await channelsOf(wide)).toSorted()).toEqual(["a.b", "a.b.c.d"]);
    expect(await channelsOf(rest)).toEqual(["x"]);
    const positions = results.map((result) => (result.ok ? result.position?.split("!")[0] : undefined));
    expect(positions).toEqual(["a.b.*", "#", "a.#", "a.#"]);
  });

  it("says for a channel what its member can do, and for the whole what all can", async () => {
    const plain = new PlainBroker(new MemoryBroker(), ["priority", "delay"]);
    await using broker = asDisposable(hybrid({ "events.#": new MemoryBroker(), "#": plain }));
    const whole = await broker.open();

    expect([whole.priority, whole.delay, whole.ordering, whole.groups]).toEqual([false, false, "none", true]);
    expect(broker.capabilitiesOf("events.a")).toMatchObject({ priority: true, delay: true });
    expect(broker.capabilitiesOf("tasks")).toMatchObject({ priority: false, delay: false });
    expect(broker.capabilitiesOf("#").priority).toBe(false);
  });

  it("lets a service use an ability where the member has it, and refuses it by name where it has not", async () => {
    const plain = new PlainBroker(new MemoryBroker(), ["priority"]);
    const broker = hybrid({ "events.#": new MemoryBroker(), "#": plain });
    const service = new MessagingService({ agentId: "a", broker });
    await service.start();
    await expect(service.publish("events.x", 1, { priority: "critical" })).resolves.toEqual(
      expect.any(String),
    );
    await expect(service.publish("tasks.x", 1, { priority: "critical" })).rejects.toEqual(
      refusal("UNSUPPORTED"),
    );
    await service.stop();
  });

  it("asks and answers across members", async () => {
    const [asks, answers] = [new MemoryBroker(), new MemoryBroker()];
    const broker = hybrid({ "questions.#": asks, "#": answers });
    const service = new MessagingService({ agentId: "a", broker });
    await service.start();
    await service.subscribe<number>("questions.twice", (message) => Promise.resolve(message.payload * 2));
    expect(await service.request("questions.twice", 21)).toBe(42);
    await service.stop();
  });

  it("keeps dead letters on the member of the message that was given up, and shows them as one channel", async () => {
    const { events, rest, broker } = team();
    const service = new MessagingService({
      agentId: "a",
      broker,
      retry: { maxAttempts: 1 },
    });
    await service.start();
    for (const channel of ["events.x", "tasks.x"])
      await service.subscribe(channel, () => Promise.reject(new Error("no")));
    await service.publish("events.x", 1);
    await service.publish("tasks.x", 2);
    const dead = () => broker.admin?.browse("dlq.a", { limit: 10 });
    await expect.poll(async () => (await dead())?.length).toBe(2);
    const positions = (await dead())?.map(({ position }) => position.split("!")[0]);

    expect(positions?.toSorted()).toEqual(["#", "events.#"]);
    expect(await events.admin.browse("dlq.a", { limit: 10 })).toHaveLength(1);
    expect(await rest.admin.browse("dlq.a", { limit: 10 })).toHaveLength(1);
    await service.stop();
  });

  it("reads a pattern over all members that it meets, and only those", async () => {
    const { events, rest, broker } = team();
    await broker.open();
    const both = await broker.subscribe({ pattern: "#", group: "g", prefetch: 10 });
    const one = await broker.subscribe({ pattern: "events.*", group: "h", prefetch: 10 });
    await broker.publish([envelope({ id: "e", channel: "events.a" }), envelope({ id: "t", channel: "t" })]);

    const ids: string[] = [];
    while (ids.length < 2)
      for (const delivery of await both.receive(10, 1000)) ids.push(delivery.envelope.id);
    expect(ids.toSorted()).toEqual(["e", "t"]);
    expect((await one.receive(10, 1000)).map((delivery) => delivery.envelope.id)).toEqual(["e"]);
    const groups = async (member: MemoryBroker) =>
      (await member.inspect({ channels: ["events.a"] })).channels.flatMap((channel) =>
        channel.groups.map(({ group }) => group),
      );
    expect((await groups(events)).toSorted()).toEqual(["g", "h"]);
    expect(await groups(rest)).not.toContain("h");
    await broker.close();
  });

  it("fails only what was for a member that rejects", async () => {
    const { events, broker } = team();
    await broker.open();
    await events.close();
    const results = await broker.publish([envelope({ channel: "events.a" }), envelope({ channel: "t" })]);
    expect(results).toMatchObject([{ ok: false, error: { code: "CLOSED" } }, { ok: true }]);
    expect((await broker.inspect()).state).toBe("down");
    await broker.close();
  });

  it("closes the others and names the one when a member cannot be opened", async () => {
    const [fine, busy] = [new MemoryBroker(), new MemoryBroker()];
    await busy.open();
    const broker = hybrid({ "busy.#": busy, "#": fine });
    await expect(broker.open()).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
      details: { patterns: ["busy.#"] },
    });
    expect(fine.isClosed).toBe(true);
  });

  it.each([
    ["no route for the rest", { "a.#": "broker" }, "#"],
    ["two routes of which neither is narrower", { "a.*": "broker", "*.b": "broker", "#": "broker" }, "*.b"],
    ["a route to no broker", { "a.#": {}, "#": "broker" }, "a.#"],
  ])("refuses %s, naming the route", (_what, routes, field) => {
    const entries = Object.entries(routes).map(([pattern, to]) => [
      pattern,
      to === "broker" ? new MemoryBroker() : to,
    ]);
    expect(() => hybrid(Object.fromEntries(entries) as Record<string, Broker>)).toThrow(
      refusal("INVALID_ARGUMENT", field),
    );
  });

  it("refuses a pattern that is none, routes that are none, and an inbox on no route", () => {
    expect(() => hybrid({ "a..b": new MemoryBroker(), "#": new MemoryBroker() })).toThrow(
      refusal("INVALID_CHANNEL"),
    );
    expect(() => hybrid(null as unknown as Record<string, Broker>)).toThrow(
      refusal("INVALID_ARGUMENT", "routes"),
    );
    expect(() => hybrid({ "#": new MemoryBroker() }, { inbox: "a.#" })).toThrow(
      refusal("INVALID_ARGUMENT", "inbox"),
    );
  });

  it("starts at a position only on the member that gave it", async () => {
    const { broker } = team();
    await broker.open();
    await broker.admin?.declare("events.a", { retentionMs: 60_000 });
    const ids = ["m0", "m1", "m2"];
    const results = await broker.publish(ids.map((id) => envelope({ id, channel: "events.a" })));
    const position = results[1]?.ok === true ? (results[1].position as string) : "";
    const spec = { group: null, prefetch: 10, from: { position } } as const;
    const again = await broker.subscribe({ ...spec, pattern: "events.a" });
    const first = (await again.receive(10, 1000))[0]?.envelope.id;
    expect(["m1", "m2"]).toContain(first);
    await expect(broker.subscribe({ ...spec, pattern: "tasks" })).rejects.toEqual(
      refusal("INVALID_ARGUMENT", "from"),
    );
    await broker.close();
  });
});

/** Closes with its scope. */
function asDisposable<T extends Broker>(broker: T): T & AsyncDisposable {
  return Object.assign(broker, { [Symbol.asyncDispose]: () => broker.close() });
}
