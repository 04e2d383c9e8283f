import type * as Msgpackr from "msgpackr";
import { describe, expect, it } from "vitest";
import { peer } from "./peer.ts";

const refused = expect.objectContaining({
  code: "UNSUPPORTED",
  message:
    "Counting needs the package 'herald-no-such-package': add it with npm install herald-no-such-package.",
  details: { package: "herald-no-such-package" },
});

describe("a package that is not installed", () => {
  it("is UNSUPPORTED when it is first needed, not before, and the error says what to install", () => {
    const all = peer("herald-no-such-package", "Counting");
    const part = peer("herald-no-such-package", "Counting", "herald-no-such-package/part");
    expect(() => all()).toThrow(refused);
    expect(() => part()).toThrow(refused);
    // Each time: it may have been added meanwhile.
    expect(() => all()).toThrow(refused);
  });

  it("is loaded once where it is there", () => {
    const loaded = peer("msgpackr", "MessagePack", "msgpackr/index-no-eval") as () => typeof Msgpackr;
    expect(new (loaded().Packr)().pack(1)).toEqual(Buffer.of(1));
    expect(loaded()).toBe(loaded());
  });
});
