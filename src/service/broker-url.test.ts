import { describe, expect, it } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { brokerOf, brokerSource } from "./broker-url.ts";

describe("a broker's URL", () => {
  it.each([undefined, "memory:", "memory", "memory://", "MEMORY:"])(
    "%s is a new memory broker every time",
    (url) => {
      const [one, two] = [brokerOf(url), brokerOf(url)];

      expect([one, two].every((broker) => broker instanceof MemoryBroker)).toBe(true);
      expect(one).not.toBe(two);
    },
  );

  it("with a name is the one broker of that name, whatever the case of the scheme, until that is closed", async () => {
    const team = brokerOf("memory:team");

    expect(brokerOf("Memory://team")).toBe(team);
    expect(brokerOf("memory:Team")).not.toBe(team);
    await team.close();
    expect(brokerOf("memory:team")).not.toBe(team);
    expect(brokerOf("memory:team")).toBe(brokerOf("memory:team"));
  });

  it.each(["redis://localhost", "kafka:a,b", "", ":", "http://x", "memoryx:"])(
    "%j is UNSUPPORTED, saying what there is",
    (url) => {
      expect(() => brokerOf(url)).toThrow(
        expect.objectContaining({
          code: "UNSUPPORTED",
          message: expect.stringContaining(
            "use memory: or memory:<name>, or hand in a broker object.",
          ) as string,
          details: { field: "broker", scheme: url.split(":")[0] },
        }),
      );
    },
  );
});

describe("a broker object", () => {
  it("is what it is, at every start", () => {
    const broker = new MemoryBroker();
    const source = brokerSource(broker, new FakeClock());

    expect(brokerOf(broker)).toBe(broker);
    expect([source(), source()]).toEqual([broker, broker]);
  });

  it.each([7, null, {}, { open: () => {}, publish: () => {} }])("that is %j is INVALID_ARGUMENT", (value) => {
    expect(() => brokerOf(value as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field: "broker" } }),
    );
  });
});

describe("a broker that a service makes for itself", () => {
  it("is made for every start, and goes by the service's clock", async () => {
    const clock = new FakeClock();
    const source = brokerSource("memory:", clock);
    const broker = source();
    expect(source()).not.toBe(broker);

    await broker.open();
    const subscription = await broker.subscribe({ pattern: "x", group: "g", prefetch: 1 });
    const waiting = subscription.receive(1, 1000);
    await clock.advanceAsync(1000);

    expect(await waiting).toEqual([]);
  });
});
