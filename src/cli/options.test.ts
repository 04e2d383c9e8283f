import { describe, expect, it } from "vitest";
import { filterOf, messageOptions } from "./options.ts";

describe("messageOptions", () => {
  it("gives every option its name and unit in the service", () => {
    const flags = {
      type: "sale",
      key: "k",
      priority: 35,
      ttl: 1500,
      delay: 20,
      id: "i",
      to: "packer",
      header: { a: "1" },
    };
    expect(messageOptions(flags)).toEqual({
      type: "sale",
      partitionKey: "k",
      priority: 35,
      ttlSeconds: 1.5,
      delayMs: 20,
      id: "i",
      to: "packer",
      headers: { a: "1" },
    });
  });

  it("leaves out what was not given", () => {
    expect([messageOptions({}), filterOf({})]).toEqual([{}, {}]);
  });
});

describe("filterOf", () => {
  it("gives every option its name in the service", () => {
    expect(filterOf({ channel: "c", group: "g", code: "EXPIRED", agent: "a", limit: 3 })).toEqual({
      channel: "c",
      group: "g",
      code: "EXPIRED",
      agentId: "a",
      limit: 3,
    });
  });
});
