import { describe, expect, it } from "vitest";
import { GUID, GUID_HEADER } from "../../../test/codec/vectors.ts";
import { headerBytes } from "../../core/binary-header.ts";
import { framedBy, prefixed, refBytes, refHeader, SCHEMA_ID_HEADER } from "./wire.ts";

const JSON_TYPE = "application/json";
const hex = (text: string): Uint8Array => Buffer.from(text, "hex");
const received = (body: Uint8Array, contentType = JSON_TYPE, headers: Record<string, string> = {}) =>
  framedBy({ channel: "c", body, contentType, headers });

describe("the name of a schema", () => {
  it("is 0 and the id in four bytes, or 1 and the GUID in sixteen, as the registry's clients write it", () => {
    expect(refBytes({ id: 1 }).toString("hex")).toBe("0000000001");
    expect(refBytes({ id: 2 ** 31 - 1 }).toString("hex")).toBe("007fffffff");
    expect(refBytes({ guid: GUID }).toString("hex")).toBe(GUID_HEADER);
  });

  it("is found in front of a body, and in a header before that", () => {
    expect(received(prefixed({ id: 7 }, hex("0a0b")))).toEqual({
      ref: { id: 7 },
      data: Buffer.from("0a0b", "hex"),
    });
    expect(received(hex(`${GUID_HEADER}0a`))).toEqual({
      ref: { guid: GUID },
      data: Buffer.from("0a", "hex"),
    });
    const headers = { [SCHEMA_ID_HEADER]: refHeader({ guid: GUID }) };
    const body = hex("00000000070a");
    expect(received(body, JSON_TYPE, headers)).toEqual({ ref: { guid: GUID }, data: body });
    expect(received(body, "image/png", { [SCHEMA_ID_HEADER]: refHeader({ id: 9 }) })?.ref).toEqual({ id: 9 });
  });

  it("is a header of text that a broker of bytes can give back", () => {
    expect(Buffer.from(headerBytes(refHeader({ guid: GUID }))).toString("hex")).toBe(GUID_HEADER);
    expect(refHeader({ guid: GUID })).toMatch(/^data:;base64,/);
  });

  it.each<[string, Uint8Array, string]>([
    ["plain JSON", Buffer.from('{"a":1}'), JSON_TYPE],
    ["nothing", new Uint8Array(0), JSON_TYPE],
    ["too few bytes", hex("00000001"), JSON_TYPE],
    ["a GUID that is cut short", hex(GUID_HEADER.slice(0, -2)), JSON_TYPE],
    ["an id below 0", hex("00ffffffff"), JSON_TYPE],
    ["another magic byte", hex("020000000001"), JSON_TYPE],
    ["bytes that somebody sent as bytes", hex("00000000070a"), "application/octet-stream"],
    ["text", hex("00000000070a"), "text/plain"],
    ["MessagePack", hex("00000000070a"), "application/msgpack"],
  ])("is not in %s", (_name, body, contentType) => {
    expect(received(body, contentType)).toBeUndefined();
  });

  it.each(["", "0", "\u0000\u0000", "data:;base64,AQID", "\u0002aaaaaaaaaaaaaaaa"])(
    "is MALFORMED in the header %j",
    (header) => {
      expect(() => received(hex("00"), JSON_TYPE, { [SCHEMA_ID_HEADER]: header })).toThrow(
        expect.objectContaining({ code: "MALFORMED" }),
      );
    },
  );
});
