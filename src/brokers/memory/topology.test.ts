import { describe, expect, it } from "vitest";
import { envelope } from "../../../test/support/envelopes.ts";
import { codesOf, drain, names, opened, take } from "../../../test/support/memory.ts";
import type { StartFrom } from "../../core/broker.ts";

const refusal = (code: string, field?: string) =>
  expect.objectContaining(
    field === undefined ? { code } : { code, details: expect.objectContaining({ field }) },
  );

describe("a group", () => {
  it("keeps what is published while none of its members is there", async () => {
    const { publish, subscribe } = await opened();
    await (await subscribe()).close();
    await publish(["a"]);

    expect(await drain(await subscribe())).toEqual(["a"]);
  });

  it("gets a message once although several of its patterns cover it, wherever a member listens", async () => {
    const { publish, subscribe } = await opened();
    const wide = await subscribe("orders.#");
    const narrow = await subscribe("orders.*");
    const exact = await subscribe("orders.created");
    await publish(names(3), { channel: "orders.created" });
    const got = [...(await drain(wide)), ...(await drain(narrow)), ...(await drain(exact))];
    expect(got.toSorted()).toEqual(["m0", "m1", "m2"]);

    await wide.close();
    await narrow.close();
    await publish(["later"], { channel: "orders.created" });
    expect(await drain(exact)).toEqual(["later"]);
  });

  it("is not told apart wrongly: pattern and group are no one text", async () => {
    const { publish, subscribe } = await opened();
    const one = await subscribe("a", { group: "b c" });
    const two = await subscribe("a", { group: "c" });
    await publish(["m"], { channel: "a" });
    expect([await drain(one), await drain(two)]).toEqual([["m"], ["m"]]);
  });

  it("reads a pattern with one ordering at a time, and may change it when all is read", async () => {
    const { publish, subscribe } = await opened();
    const relaxed = await subscribe();
    await expect(subscribe("c", { ordering: "strict" })).rejects.toEqual(refusal("CONFLICT", "ordering"));
    await publish(["a"]);
    await relaxed.close();
    await expect(subscribe("c", { ordering: "strict" })).rejects.toEqual(refusal("CONFLICT"));
    const again = await subscribe();
    await drain(again);
    await again.close();

    const strict = await subscribe("c", { ordering: "strict" });
    await publish(["b"]);
    expect(await drain(strict)).toEqual(["b"]);
  });
});

describe("a broadcast", () => {
  it("is for every subscription by itself, from now on, until it closes", async () => {
    const { broker, publish, subscribe } = await opened();
    await publish(["before"]);
    const one = await subscribe("c", { group: null });
    const two = await subscribe("*", { group: null });
    await publish(["a"]);
    expect([await drain(one), await drain(two)]).toEqual([["a"], ["a"]]);

    await one.close();
    await publish(["b"]);
    expect([await take(one), await drain(two)]).toEqual([[], ["b"]]);
    expect((await broker.inspect()).channels[0]?.groups).toEqual([]);
  });
});

describe("a start in the past", () => {
  it("is at the earliest, at a position, or at a time, for a new group and across the channels of a pattern", async () => {
    const { clock, publish, subscribe } = await opened();
    await publish(["a"], { channel: "x.1" });
    clock.advance(10);
    const [b] = await publish(["b"], { channel: "x.2" });
    clock.advance(10);
    await publish(["c"], { channel: "x.1" });
    const from = async (start: StartFrom, group: string) =>
      drain(await subscribe("x.*", { group, from: start }));

    expect(await from("earliest", "g1")).toEqual(["a", "b", "c"]);
    expect(await from({ position: (b?.ok === true && b.position) || "" }, "g2")).toEqual(["b", "c"]);
    expect(await from({ time: clock.now() }, "g3")).toEqual(["c"]);
    expect(await from("new", "g4")).toEqual([]);
    expect(await from("earliest", "g1")).toEqual([]);
    expect(await from("earliest", "g4")).toEqual([]);
  });

  it("gives a broadcast subscription the past too", async () => {
    const { publish, subscribe } = await opened();
    await publish(["a"]);
    expect(await drain(await subscribe("c", { group: null, from: "earliest" }))).toEqual(["a"]);
  });
});

describe("reply channels", () => {
  it("leave no trace when nobody listens, before or after", async () => {
    const { broker, publish, subscribe } = await opened();
    await publish(names(3), { channel: "reply.a.1" });
    const subscription = await subscribe("reply.a.1", { group: null });
    await publish(["m"], { channel: "reply.a.1" });
    expect(await drain(subscription)).toEqual(["m"]);
    expect(await broker.admin.list()).toEqual(["reply.a.1"]);
    await subscription.close();
    await publish(["late"], { channel: "reply.a.1" });

    expect(await broker.admin.list()).toEqual([]);
    expect(await drain(await subscribe("reply.a.1", { group: null, from: "earliest" }))).toEqual([]);
  });

  it("find room beside a flood of channel names", async () => {
    const { broker, publish, subscribe } = await opened({ maxChannels: 2 });
    await broker.publish(["a", "b"].map((channel) => envelope({ channel })));
    const subscription = await subscribe("reply.a.1", { group: null });
    expect(codesOf(await publish(["m"], { channel: "reply.a.1" }))).toEqual(["ok"]);
    expect(await drain(subscription)).toEqual(["m"]);
  });

  it("that only a wildcard hears count like any other channel", async () => {
    const { publish, subscribe } = await opened({ maxChannels: 1 });
    await subscribe("#", { group: null });
    expect(codesOf(await publish(["m"], { channel: "reply.a.1" }))).toEqual(["ok"]);
    expect(codesOf(await publish(["m"], { channel: "reply.a.2" }))).toEqual(["OVERLOADED"]);
  });
});

describe("inspection", () => {
  it("tells lag, what is handed out, and depth, by group; unknown channels are absent", async () => {
    const { broker, publish, subscribe, report } = await opened();
    const one = await subscribe();
    await subscribe("c", { group: "h" });
    await publish(names(5));
    const held = await take(one, 3);
    await one.settle([{ kind: "ack", delivery: held[0]! }]);

    expect(await report()).toEqual({
      channel: "c",
      depth: 5,
      groups: [
        { group: "g", lag: 4, unsettled: 2 },
        { group: "h", lag: 5, unsettled: 0 },
      ],
    });
    expect(await report("unknown")).toBeUndefined();
    expect((await broker.inspect()).channels.map(({ channel }) => channel)).toEqual(["c"]);
  });

  it("counts what is delayed and what waits for its retry as lag", async () => {
    const { clock, publish, subscribe, report } = await opened({ replay: 0 });
    const subscription = await subscribe();
    await publish(["a"], { deliverAt: clock.now() + 100 });
    await publish(["b"]);
    const [b] = await take(subscription);
    await subscription.settle([{ kind: "nack", delivery: b!, delayMs: 100 }]);
    expect(await report()).toMatchObject({ depth: 2, groups: [{ lag: 2, unsettled: 0 }] });

    await clock.advanceAsync(100);
    await drain(subscription);
    expect(await report()).toMatchObject({ depth: 0, groups: [{ lag: 0, unsettled: 0 }] });
  });
});
