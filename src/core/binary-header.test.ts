import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { headerBytes, headerText } from "./binary-header.ts";

describe("bytes in a header of text", () => {
  it("come back as they were, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect([...headerBytes(headerText(bytes))]).toEqual([...bytes]);
      }),
    );
  });

  it("are readable text where they are text, and base64 that says so where they are not", () => {
    expect(headerText(Buffer.from("Grüße"))).toBe("Grüße");
    expect(headerText(Uint8Array.of(1, 0xff))).toBe("data:;base64,Af8=");
  });
});

describe("text in a header of bytes", () => {
  it("comes back as it was, whatever it is, also where it looks like bytes", () => {
    const looksLikeIt = fc.string().map((text) => `data:;base64,${text}`);
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "grapheme" }), looksLikeIt), (text) => {
        expect(headerText(headerBytes(text))).toBe(text);
      }),
    );
    for (const text of ["data:;base64,", "data:;base64,aGk=", "data:;base64,/w", "data:;base64,/w==x"])
      expect(headerText(headerBytes(text))).toBe(text);
  });
});
