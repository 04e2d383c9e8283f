import { describe, expect, it } from "vitest";
import { ackPlace } from "./delivery.ts";
import { consumerOf, isCoarse, Names } from "./names.ts";

describe("names in NATS", () => {
  const names = new Names("shop");

  it("of a channel are its subject, whatever a channel may hold", () => {
    expect(names.subject("a:b.c_d-e.F")).toBe("shop.a:b.c_d-e.F");
    expect(names.channel("shop.a:b.c_d-e.F")).toBe("a:b.c_d-e.F");
  });

  it("of a pattern let through what it covers, and more only where a token holds a star", () => {
    expect(names.filters("a.*.b")).toEqual(["shop.a.*.b"]);
    expect(names.filters("a.#")).toEqual(["shop.a", "shop.a.>"]);
    expect(names.filters("#")).toEqual(["shop.>"]);
    expect(names.filters("agent-*.x")).toEqual(["shop.*.x"]);
    expect([isCoarse("agent-*.x"), isCoarse("*.x"), isCoarse("a.#")]).toEqual([true, false, false]);
  });

  it("of consumers hold no character that NATS gives a meaning, and differ where group or pattern do", () => {
    const made = [
      consumerOf("a.*", "g/../x y>"),
      consumerOf("a.*", "g"),
      consumerOf("a", "*.g"),
      consumerOf("a.#", "g"),
      consumerOf("x".repeat(200), "y".repeat(500)),
    ];
    for (const name of made) expect(name).toMatch(/^[A-Za-z0-9_-]{1,110}$/);
    expect(new Set(made).size).toBe(made.length);
  });
});

describe("the subject of an acknowledgement", () => {
  it("is read in both of its forms, and nothing else is", () => {
    const place = { consumer: "con", count: 2, sequence: "7", storedAt: 1_700_000_000_000 };
    expect(ackPlace("$JS.ACK.str.con.2.7.9.1700000000000000000.3")).toEqual(place);
    expect(ackPlace("$JS.ACK.hub.acc.str.con.2.7.9.1700000000000000000.3.rand")).toEqual(place);
    expect(ackPlace("_INBOX.x.1")).toBeUndefined();
    expect(ackPlace("$JS.ACK.str")).toBeUndefined();
  });
});
