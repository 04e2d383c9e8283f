import { describe, expect, it } from "vitest";
import { envelope } from "../../test/support/envelopes.ts";
import { JSON_TYPE } from "../core/envelope.ts";
import { decodePayload, encodePayload } from "./payload.ts";

const DEPTH = 64;
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (contentType: string, body: Uint8Array): unknown =>
  decodePayload(envelope({ contentType, body }), DEPTH);
const code = (expected: string) => expect.objectContaining({ code: expected });

describe("a payload", () => {
  it("of JSON is JSON, and says so", () => {
    expect(encodePayload({ a: 1 }, DEPTH)).toEqual({ body: Buffer.from('{"a":1}'), contentType: JSON_TYPE });
  });

  it.each([Uint8Array.of(1, 2, 255), Buffer.from([0, 255])])(
    "of bytes is those bytes, in copies of their own: %#",
    (bytes) => {
      const { body, contentType } = encodePayload(bytes, DEPTH);
      const expected = [...bytes];
      bytes.fill(9);
      expect(contentType).toBe("application/octet-stream");
      expect([...body]).toEqual(expected);

      const first = decode(contentType, body) as Uint8Array;
      const second = decode(contentType, body) as Uint8Array;
      first.fill(7);
      expect([...second]).toEqual(expected);
      expect([...body]).toEqual(expected);
      expect(second.constructor).toBe(Uint8Array);
    },
  );

  it("that is undefined is refused, and null is not", () => {
    expect(() => encodePayload(undefined, DEPTH)).toThrow(code("UNSERIALIZABLE"));
    expect(encodePayload(null, DEPTH).body).toEqual(Buffer.from("null"));
  });

  it("of other binary kinds is refused: which bytes are meant is for its author to say", () => {
    for (const value of [new ArrayBuffer(2), new Uint16Array(2), new DataView(new ArrayBuffer(2))]) {
      expect(() => encodePayload(value, DEPTH)).toThrow(code("UNSERIALIZABLE"));
    }
  });
});

describe("a body", () => {
  it.each([
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    " application/json ;v=1",
    "application/cloudevents+json",
    "application/vnd.x+JSON;a=b",
    "",
    ";",
  ])("of the type %j is read as JSON", (contentType) => {
    expect(decode(contentType, utf8('{"a":1}'))).toEqual({ a: 1 });
  });

  it.each(["text/plain", "text/plain; charset=utf-8", "TEXT/CSV", " text/markdown"])(
    "of the type %j is read as text",
    (contentType) => {
      expect(decode(contentType, utf8("{é"))).toBe("{é");
    },
  );

  it("of text that is not UTF-8 is MALFORMED, not changed in silence", () => {
    expect(() => decode("text/plain; charset=iso-8859-1", Uint8Array.of(0xe9))).toThrow(code("MALFORMED"));
  });

  it.each(["application/octet-stream", "image/png", "application/jsonx", "nonsense"])(
    "of the type %j stays bytes",
    (contentType) => {
      expect(decode(contentType, utf8("{"))).toEqual(Uint8Array.of(0x7b));
    },
  );

  it("is a new value at every reading", () => {
    const one = envelope({ body: utf8('{"a":[1]}') });
    expect(decodePayload(one, DEPTH)).not.toBe(decodePayload(one, DEPTH));
  });

  it("that is a view into other memory is read within its bounds", () => {
    const memory = utf8('xx{"a":1}xx');
    expect(decode(JSON_TYPE, memory.subarray(2, 9))).toEqual({ a: 1 });
    expect(decode("text/plain", memory.subarray(2, 9))).toBe('{"a":1}');
  });
});
