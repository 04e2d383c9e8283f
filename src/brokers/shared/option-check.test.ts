import { describe, expect, it } from "vitest";
import { DURABILITY_CHOICES, OptionCheck } from "./option-check.ts";

const check = new OptionCheck("Test");
const refusal = (field: string, message: string) =>
  expect.objectContaining({ code: "INVALID_ARGUMENT", message, details: { field } });

describe("options of a broker", () => {
  it.each([0, -1, Number.NaN, "5", undefined])("that must be above 0 are refused by name: %s", (leaseMs) => {
    expect(() => check.aboveZero({ leaseMs }, ["leaseMs"])).toThrow(
      refusal(
        "leaseMs",
        `Test broker option 'leaseMs' must be a number above 0, not ${JSON.stringify(leaseMs) ?? "undefined"}.`.replace(
          "null",
          "NaN",
        ),
      ),
    );
  });

  it("above 0, and of the values that there are, pass", () => {
    check.aboveZero({ leaseMs: 0.5, pollMs: Infinity }, ["leaseMs", "pollMs"]);
    check.oneOf({ requireDurability: "os", onWeakDurability: "refuse" }, DURABILITY_CHOICES);
  });

  it("of another value are refused with those that there are", () => {
    expect(() =>
      check.oneOf({ onWeakDurability: "shout" }, { onWeakDurability: ["warn", "refuse"] }),
    ).toThrow(
      refusal("onWeakDurability", `Test broker option 'onWeakDurability' must be warn, refuse, not "shout".`),
    );
  });
});

describe("the address in a URL", () => {
  const schemes = ["nats", "tls"] as const;

  it("is the server, its namespace apart", () => {
    expect(check.address("nats://me:secret@here:4222?namespace=mine", schemes)).toEqual({
      url: "nats://me:secret@here:4222",
      namespace: "mine",
    });
    expect(check.address("tls://here", schemes)).toEqual({ url: "tls://here", namespace: undefined });
  });

  it.each(["http://me:secret@here", "nats:here", "nats://", "here", "nats://me:secret@he re"])(
    "%s is refused, and its password not shown",
    (text) => {
      expect(() => check.address(text, schemes)).toThrow(
        expect.objectContaining({
          code: "INVALID_ARGUMENT",
          message: expect.not.stringContaining("secret") as string,
          details: { field: "url" },
        }),
      );
    },
  );
});
