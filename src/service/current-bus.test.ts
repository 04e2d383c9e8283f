import { afterEach, expect, it } from "vitest";
import { getBus, setBus } from "./current-bus.ts";
import { MessagingService } from "./service.ts";

afterEach(() => setBus(undefined));

it("the bus of a process is the one that was set last, and none before and after", () => {
  expect(() => getBus()).toThrow(expect.objectContaining({ code: "NOT_FOUND" }));
  const [first, second] = [new MessagingService({ agentId: "a" }), new MessagingService({ agentId: "b" })];
  setBus(first);
  expect(getBus()).toBe(first);
  setBus(second);
  expect(getBus()).toBe(second);
  setBus(undefined);
  expect(() => getBus()).toThrow("setBus");
});
