import { rmSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { NO_WRITES } from "../../src/core/store.ts";
import { envelope } from "../support/envelopes.ts";
import { scratchFolder } from "../support/file-store.ts";
import { take } from "../support/taking.ts";

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

function folder(): string {
  const made = scratchFolder("commit");
  ending.push(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

describe("a commit on file", () => {
  it("is refused for a delivery that another has, or that was settled, and writes nothing", async () => {
    const directory = folder();
    const broker = new FileBroker({ directory });
    ending.push(() => broker.close());
    await broker.open();
    const spec = { pattern: "c", group: "g", prefetch: 10 };
    const subscription = await broker.subscribe(spec);
    const other = await broker.subscribe(spec);
    await broker.publish([envelope({ id: "one" }), envelope({ id: "two", key: "k" })]);
    const deliveries = await take(subscription, 2);
    const write = { space: "s", key: "k", value: "1", token: "t" };
    const writes = { ...NO_WRITES, values: [write] };
    for (const delivery of deliveries) {
      const inbox = { scope: "g", id: delivery.envelope.id };
      const commit = { delivery, inbox, envelopes: [], writes };
      await expect(other.commit?.(commit)).rejects.toMatchObject({ code: "CONFLICT" });
      await subscription.settle([{ kind: "nack", delivery, delayMs: 0 }]);
      await expect(subscription.commit?.(commit)).rejects.toMatchObject({ code: "CONFLICT" });
    }
    const { values } = broker.createStores();
    expect(await values.get("s", "k")).toBeUndefined();

    const [again, ...rest] = await take(subscription, 2);
    const delivery = again as NonNullable<typeof again>;
    // What its broker has taken away in the thread, it cannot have here either.
    await broker.admin.dropGroup?.("c", "g");
    const commit = { delivery, inbox: { scope: "g", id: "x" }, envelopes: [], writes };
    await expect(subscription.commit?.(commit)).rejects.toMatchObject({ code: "CONFLICT" });
    expect(rest).toHaveLength(1);
    expect(await values.get("s", "k")).toBeUndefined();
    await broker.close();
    await expect(subscription.commit?.(commit)).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("behind a stream or a value that has changed since, or with too many channels, writes nothing", async () => {
    const broker = new FileBroker({ directory: folder(), maxChannels: 2 });
    ending.push(() => broker.close());
    await broker.open();
    const { values, events } = broker.createStores();
    const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
    await broker.publish([envelope({ id: "one", channel: "c" })]);
    const [delivery] = await take(subscription, 1);
    const of = delivery as NonNullable<typeof delivery>;
    await values.put("s", "read", "1");
    await events.append("stream", 0, [{ body: "{}", hash: "h" }]);
    const written = { space: "s", key: "written", value: "1", token: "t" };
    const base = { delivery: of, inbox: { scope: "g", id: "one" }, envelopes: [envelope({ channel: "d" })] };
    const refused = [
      {
        ...base,
        writes: { ...NO_WRITES, values: [written], reads: [{ space: "s", key: "read", token: null }] },
      },
      {
        ...base,
        writes: { ...NO_WRITES, values: [written], appends: [{ stream: "stream", version: 0, events: [] }] },
      },
      {
        ...base,
        envelopes: [envelope({ channel: "d" }), envelope({ channel: "e" })],
        writes: { ...NO_WRITES, values: [written] },
      },
    ];
    for (const commit of refused)
      await expect(subscription.commit?.(commit)).rejects.toMatchObject({
        code: expect.stringMatching(/CONFLICT|OVERLOADED/),
      });
    expect(await values.get("s", "written")).toBeUndefined();
    const { channels } = await broker.inspect();
    expect(channels.find(({ channel }) => channel === "d")?.depth ?? 0).toBe(0);

    await subscription.commit?.({ ...base, writes: { ...NO_WRITES, values: [written] } });
    expect(await values.get("s", "written")).toEqual({ value: "1", token: "t" });
    await expect
      .poll(async () => (await broker.inspect({ channels: ["c"] })).channels[0]?.groups)
      .toEqual([{ group: "g", lag: 0, unsettled: 0 }]);
  });
});

describe("commits of one turn on file", () => {
  it("take place each or not: those that are refused take none of the others with them", async () => {
    const broker = new FileBroker({ directory: folder(), maxChannels: 2 });
    ending.push(() => broker.close());
    await broker.open();
    const { values } = broker.createStores();
    const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
    const out = await broker.subscribe({ pattern: "d", group: "g", prefetch: 10 });
    const names = ["plain", "written", "changed", "full", "released", "last"];
    await broker.publish(names.map((id) => envelope({ id, channel: "c" })));
    const deliveries = await take(subscription, names.length);
    const write = (key: string) => ({ ...NO_WRITES, values: [{ space: "s", key, value: key, token: key }] });
    const stale = { space: "s", key: "written", token: null };
    const bodies: Readonly<Record<string, number>> = { plain: 0, written: 3, changed: 70, full: 9, last: 1 };
    const writes: Readonly<Record<string, object>> = {
      written: write("written"),
      changed: { ...write("changed"), reads: [stale] },
      full: write("full"),
    };
    const commits = deliveries.map((delivery) => {
      const { id } = delivery.envelope;
      const channels = id === "full" ? ["d", "e"] : ["d"];
      const body = new Uint8Array(bodies[id] ?? 0).fill(id.charCodeAt(0));
      return {
        delivery,
        inbox: { scope: "g", id },
        envelopes: channels.map((channel) => envelope({ id: `${id} ${channel}`, channel, body })),
        writes: { ...NO_WRITES, ...writes[id] },
      };
    });
    const [, , , , released] = deliveries;
    await subscription.settle([
      { kind: "release", delivery: released as typeof released & object, delayMs: 0 },
    ]);
    const results = await Promise.allSettled(commits.map(async (commit) => subscription.commit?.(commit)));

    expect(results.map((result) => (result.status === "rejected" ? result.reason.code : "made"))).toEqual([
      "made",
      "made",
      "CONFLICT",
      "OVERLOADED",
      "CONFLICT",
      "made",
    ]);
    const published = await take(out, 3);
    expect(published.map(({ envelope: { id, body } }) => [id, Buffer.from(body).toString()])).toEqual([
      ["plain d", ""],
      ["written d", "www"],
      ["last d", "l"],
    ]);
    expect(await out.receive(1, 20)).toEqual([]);
    expect(await values.keys("s")).toEqual(["written"]);
    const inbox = broker.createInbox({});
    const states = names.map(async (id) => inbox.claim("g", id));
    expect(await Promise.all(states)).toEqual(["done", "done", "new", "new", "new", "done"]);
  });
});
