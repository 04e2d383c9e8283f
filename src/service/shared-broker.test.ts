import { describe, expect, it, vi } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { HeraldError } from "../core/errors.ts";
import { BrokerWrapper } from "../core/broker-wrapper.ts";
import { leaseBroker } from "./shared-broker.ts";

/** A broker whose calls are counted. */
function counted(): {
  readonly broker: BrokerWrapper;
  readonly open: () => number;
  readonly close: () => number;
} {
  const broker = new BrokerWrapper(new MemoryBroker());
  const [open, close] = [vi.spyOn(broker, "open"), vi.spyOn(broker, "close")];
  return { broker, open: () => open.mock.calls.length, close: () => close.mock.calls.length };
}

describe("a lease of a broker", () => {
  it("opens it once for all that come together or later, and gives each what it can do", async () => {
    const { broker, open } = counted();

    const leases = await Promise.all([leaseBroker(broker), leaseBroker(broker)]);
    leases.push(await leaseBroker(broker));

    expect(open()).toBe(1);
    expect(new Set(leases.map(({ capabilities }) => capabilities)).size).toBe(1);
    expect(leases.every((lease) => lease.broker === broker && lease.capabilities.groups)).toBe(true);
  });

  it("closes it with the last that is released", async () => {
    const { broker, close } = counted();
    const [one, two] = await Promise.all([leaseBroker(broker), leaseBroker(broker)]);

    await one.release({ keepOpen: false });
    expect(close()).toBe(0);
    await two.release({ keepOpen: false });

    expect(close()).toBe(1);
  });

  it("leaves it open when the last wants that, and the next joins without opening it again", async () => {
    const { broker, open, close } = counted();
    const [one, two] = await Promise.all([leaseBroker(broker), leaseBroker(broker)]);
    await one.release({ keepOpen: false });
    await two.release({ keepOpen: true });
    expect(close()).toBe(0);

    const next = await leaseBroker(broker);
    expect(open()).toBe(1);
    await next.release({ keepOpen: false });

    expect(close()).toBe(1);
  });

  it("that cannot be opened fails for all that wait, and is tried again by the next", async () => {
    const { broker, open } = counted();
    vi.mocked(broker.open).mockRejectedValueOnce(new HeraldError("NOT_CONNECTED", "No broker."));

    const results = await Promise.allSettled([leaseBroker(broker), leaseBroker(broker)]);
    expect(results).toMatchObject(
      [1, 2].map(() => ({ status: "rejected", reason: { code: "NOT_CONNECTED" } })),
    );
    const lease = await leaseBroker(broker);

    expect(open()).toBe(2);
    await lease.release({ keepOpen: false });
  });
});
