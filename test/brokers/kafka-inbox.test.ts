import { expect, it } from "vitest";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { kafkaBench } from "../support/kafka.ts";
import { until } from "../support/taking.ts";
import { whenStarted } from "../support/servers/when.ts";

whenStarted("kafka", "the record of handled ids in Kafka", () => {
  const bench = kafkaBench();

  it("is one for all processes, and outlives them", async () => {
    const namespace = newPlace();
    const [one, other] = [await bench.opened({ namespace }), await bench.opened({ namespace })];
    const inbox = one.createInbox({});
    expect(await inbox.claim("g", "m1")).toBe("new");
    expect(await inbox.claim("g", "m1")).toBe("busy");
    await inbox.commit("g", "m1");

    expect(await other.createInbox({}).claim("g", "m1")).toBe("done");
    expect(await other.createInbox({}).claim("another group", "m1")).toBe("new");
    await Promise.all([one.close(), other.close()]);
    const later = await bench.opened({ namespace });
    expect(await later.createInbox({}).claim("g", "m1")).toBe("done");
  });

  it("knows what another process recorded a moment before, however often it has asked", async () => {
    const namespace = newPlace();
    const [one, other] = [
      (await bench.opened({ namespace })).createInbox({}),
      (await bench.opened({ namespace })).createInbox({}),
    ];
    for (let n = 0; n < 50; n++) {
      expect(await one.claim("g", `m${n}`)).toBe("new");
      await one.commit("g", `m${n}`);
      expect(await other.claim("g", `m${n}`)).toBe("done");
    }
  });

  it("makes room for another when an id is past its horizon, and refuses more than it may remember", async () => {
    const broker = await bench.opened();
    const inbox = broker.createInbox({ horizonMs: 1000, maxIds: 1 });
    expect(await inbox.claim("g", "m1")).toBe("new");
    await inbox.commit("g", "m1");
    await expect(inbox.claim("g", "m2")).rejects.toMatchObject({ code: "OVERLOADED" });

    await until(async () => (await inbox.claim("g", "m2")) === "new");
    await inbox.abandon("g", "m2");
    expect(await inbox.claim("g", "m1")).toBe("new");
  });
});
