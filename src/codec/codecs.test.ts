import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { envelope } from "../../test/support/envelopes.ts";
import { JSON_TYPE } from "../core/envelope.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import type { EncodedPayload, PayloadCodec } from "./codec.ts";
import { Codecs, PLAIN, type CodecPlan, type Writing } from "./codecs.ts";
import type { CompressionPlan } from "./compression.ts";

const MSGPACK = "application/msgpack";
const gzip: CompressionPlan = { encoding: "gzip", thresholdBytes: 100, level: undefined };
const code = (expected: string) => expect.objectContaining({ code: expected });
const long = "x".repeat(1000);

function codecs(plan: Partial<CodecPlan> = {}, limits: Partial<Limits> = {}): Codecs {
  return new Codecs({ ...PLAIN, ...plan }, { ...DEFAULT_LIMITS, ...limits });
}

function atOnce(encoded: EncodedPayload | Promise<EncodedPayload>): EncodedPayload {
  if (encoded instanceof Promise) throw new Error("It was not encoded at once.");
  return encoded;
}

/** A codec that turns texts around, at once or later. */
function turning(late = false): PayloadCodec {
  const turn = (text: string): string => Buffer.from(Buffer.from(text).toReversed()).toString();
  return {
    name: "turning",
    encode(payload) {
      if (typeof payload !== "string") throw new TypeError("only texts can be turned");
      const encoded = { body: Buffer.from(turn(payload)), contentType: "text/x-turned" };
      return late ? Promise.resolve(encoded) : encoded;
    },
    decode({ body, contentType }) {
      if (contentType !== "text/x-turned") return late ? Promise.resolve(undefined) : undefined;
      if (body.byteLength === 0) throw new TypeError("nothing to turn");
      const text = turn(Buffer.from(body).toString());
      return late ? Promise.resolve(text) : text;
    },
  };
}

describe("how a payload is written", () => {
  it("is JSON where nothing is said, and bytes stay bytes", () => {
    const all = codecs();
    expect(all.encode({ a: 1 }, "c")).toEqual({ body: Buffer.from('{"a":1}'), contentType: JSON_TYPE });
    expect(atOnce(all.encode(Uint8Array.of(1), "c")).contentType).toBe("application/octet-stream");
  });

  it("is said by pattern, manifest, definition and service, in that order, and each says format or compression", () => {
    const defined: Writing = { format: "text/plain", compression: gzip };
    const all = codecs({
      byPattern: [
        ["orders.#", { format: MSGPACK }],
        ["raw.*", { compression: null }],
        ["raw.exact", { format: "text/csv" }],
        ["raw.ex*", { format: "text/markdown" }],
      ],
      byChannel: new Map([
        ["orders.new", { format: "text/html" }],
        ["pages", { format: "text/html" }],
      ]),
      otherwise: { compression: gzip },
    });
    const written = (channel: string, of?: Writing): string => {
      const { contentType, contentEncoding } = atOnce(all.encode(long, channel, of));
      return `${contentType} ${contentEncoding}`;
    };

    expect(written("orders.new")).toBe(`${MSGPACK} gzip`);
    expect(written("pages")).toBe("text/html gzip");
    expect(written("pages", defined)).toBe("text/html gzip");
    expect(written("other", defined)).toBe("text/plain gzip");
    expect(written("other")).toBe(`${JSON_TYPE} gzip`);
    expect(written("raw.a")).toBe(`${JSON_TYPE} undefined`);
    expect(written("raw.a", defined)).toBe("text/plain undefined");
    // An exact name goes before patterns that stand in front of it.
    expect(written("raw.exact")).toBe("text/csv gzip");
    // Asked again, it is the same.
    expect(written("pages", defined)).toBe("text/html gzip");
  });

  it("is not said by patterns for the replies of the runtime", () => {
    const all = codecs({ byPattern: [["#", { format: "text/plain" }]] });
    expect(atOnce(all.encode({ a: 1 }, "reply.x")).contentType).toBe(JSON_TYPE);
  });

  it("is remembered for so many channels and no more", () => {
    const all = codecs({ byPattern: [["c.*", { format: MSGPACK }]] });
    for (let i = 0; i < 10_001; i++) void all.encode(i, `c.${i}`);
    expect(atOnce(all.encode(1, "c.0")).contentType).toBe(MSGPACK);
  });

  it.each<[string, unknown, string]>([
    ["text/plain", { a: 1 }, "text"],
    ["text/plain", Uint8Array.of(1), "text"],
    ["text/plain", "\ud800", "half surrogate"],
    ["image/png", "text", "bytes"],
    ["application/xml", { a: 1 }, "bytes"],
    ["text/plain", undefined, "undefined"],
    [MSGPACK, undefined, "undefined"],
  ])("as %s refuses %j: it must be %s", (format, payload, wanted) => {
    const all = codecs({ otherwise: { format } });
    expect(() => all.encode(payload, "c")).toThrow(code("UNSERIALIZABLE"));
    expect(() => all.encode(payload, "c")).toThrow(wanted);
  });

  it.each<[string, unknown]>([
    ["text/plain; charset=utf-8", "Grüße"],
    ["image/png", Uint8Array.of(1, 2)],
    ["application/vnd.x+json", { a: [1] }],
    [MSGPACK, { a: Uint8Array.of(1) }],
    ["application/x-msgpack", ["a"]],
    ["APPLICATION/VND.MSGPACK", ["a"]],
  ])("as %s arrives as it was, whatever its reader has set", (format, payload) => {
    const { body, contentType } = atOnce(codecs({ otherwise: { format } }).encode(payload, "c"));
    expect(contentType).toBe(format);
    expect(codecs().decode(envelope({ body, contentType }), "c")).toEqual(payload);
  });

  it("as JSON or MessagePack leaves bytes as bytes", () => {
    for (const format of [JSON_TYPE, MSGPACK]) {
      const { body, contentType } = atOnce(codecs({ otherwise: { format } }).encode(Uint8Array.of(1), "c"));
      expect([[...body], contentType]).toEqual([[1], "application/octet-stream"]);
    }
  });
});

describe("compression", () => {
  it("is from its threshold on, where it makes a body smaller, and says so", () => {
    const all = codecs({ otherwise: { compression: gzip } });
    const encoded = atOnce(all.encode(long, "c"));

    expect(gunzipSync(encoded.body).toString()).toBe(JSON.stringify(long));
    expect(encoded).toMatchObject({ contentType: JSON_TYPE, contentEncoding: "gzip" });
    expect(atOnce(all.encode("short", "c"))).not.toHaveProperty("contentEncoding");
    expect(codecs().decode(envelope({ ...encoded }), "c")).toBe(long);
  });

  it("of more than readers restore is MESSAGE_TOO_LARGE at the publisher", () => {
    const all = codecs({ otherwise: { compression: gzip } }, { maxDecompressedBytes: 500 });
    expect(() => all.encode(long, "c")).toThrow(code("MESSAGE_TOO_LARGE"));
  });
});

describe("a codec", () => {
  it.each([false, true])(
    "writes and reads its channels, and leaves what is not its own (late: %s)",
    async (late) => {
      const all = codecs({ byPattern: [["turned", { format: turning(late), compression: gzip }]] });
      const encoded = await all.encode(long + "!", "turned");

      expect(encoded).toMatchObject({ contentType: "text/x-turned", contentEncoding: "gzip" });
      expect(await all.decode(envelope({ ...encoded }), "turned")).toBe(`${long}!`);
      expect(await all.decode(envelope({ body: Buffer.from('{"a":1}') }), "turned")).toEqual({ a: 1 });
      expect(await all.decode(envelope({ body: Buffer.from('{"a":1}') }), "other")).toEqual({ a: 1 });
      // A dead letter is read as what it was on its own channel.
      const letter = envelope({ body: Buffer.from("cba"), contentType: "text/x-turned" });
      expect(await all.decode(letter, "turned")).toBe("abc");
    },
  );

  it("is opened once, and the package that compression needs is loaded", async () => {
    let opened = 0;
    const codec = { ...turning(), open: () => Promise.resolve(void opened++) };
    await codecs({
      byPattern: [
        ["a", { format: codec }],
        ["b", { format: codec }],
      ],
    }).open();
    await codecs({ otherwise: { compression: { ...gzip, encoding: "snappy" } } }).open();
    await codecs({ otherwise: { format: turning() } }).open();

    expect(opened).toBe(1);
  });

  it.each([false, true])(
    "that throws what is none of ours is UNSERIALIZABLE and MALFORMED (late: %s)",
    async (late) => {
      const failing: PayloadCodec = {
        name: "failing",
        encode: () => (late ? Promise.reject(new TypeError("no")) : raise()),
        decode: () => (late ? Promise.reject(new TypeError("no")) : raise()),
      };
      const all = codecs({ otherwise: { format: failing } });

      await expect((async () => all.encode(1, "c"))()).rejects.toEqual(code("UNSERIALIZABLE"));
      await expect((async () => all.decode(envelope(), "c"))()).rejects.toEqual(code("MALFORMED"));
    },
  );

  function raise(): never {
    throw new TypeError("no");
  }
});

describe("a body that only a registry can tell", () => {
  it.each(["application/json;framing=confluent", 'application/vnd.apache.avro; framing="confluent"'])(
    "(%s) is UNSUPPORTED where none is named",
    (contentType) => {
      expect(() => codecs().decode(envelope({ contentType }), "c")).toThrow(code("UNSUPPORTED"));
    },
  );
});
