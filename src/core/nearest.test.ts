import { describe, expect, test } from "vitest";
import { nearest } from "./nearest.ts";

const KNOWN = ["subscribes", "publishes", "commands", "reliability", "id", "to"];

describe("nearest", () => {
  test.each([
    ["subscribe", "subscribes"],
    ["Subscribes", "subscribes"],
    ["pubilshes", "publishes"],
    ["comands", "commands"],
    ["realibility", "reliability"],
    ["ot", "to"],
    ["i", "id"],
  ])("%s most likely means %s", (word, meant) => {
    expect(nearest(word, KNOWN)).toBe(meant);
  });

  test.each(["", "xyz", "messaging", "priority", "subscriptionsOfThisAgent", "comma"])(
    "nothing is close to %j",
    (word) => {
      expect(nearest(word, ["subscribes", "publishes", "commands"])).toBeUndefined();
    },
  );

  test("the closest wins, and the first of equals", () => {
    expect(nearest("$gt", ["$gte", "$lt", "$gt"])).toBe("$gt");
    expect(nearest("$g", ["$gt", "$ge"])).toBe("$gt");
  });

  test("a very long word is compared by its head alone", () => {
    expect(nearest("a".repeat(1_000_000), ["a".repeat(64), "b"])).toBe("a".repeat(64));
  });
});
