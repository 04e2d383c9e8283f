import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attributesOf, envelopeOf, type Carried } from "./cloudevents.ts";
import { EnvelopeDraft, createEnvelope, JSON_TYPE, NO_HEADERS, type Envelope } from "./envelope.ts";
import type { HeraldError } from "./errors.ts";

const body = new TextEncoder().encode('{"n":1}');
const carried: Carried = { channel: "orders.created", body, storedAt: 1_700_000_000_000 };
const minimal = createEnvelope({
  id: "m-1",
  channel: "orders.created",
  source: "shop",
  time: 1_700_000_000_123,
  body,
});

const word = fc.stringMatching(/^[!-~]{1,20}$/);
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const instant = fc.integer({ min: 0, max: 8.64e15 - 1 });

const envelope: fc.Arbitrary<Envelope> = fc
  .record({
    id: word,
    channel: fc.constantFrom("a", "orders.created"),
    source: word,
    time: instant,
    body: fc.uint8Array({ maxLength: 20 }),
    contentType: fc.constantFrom(JSON_TYPE, "application/octet-stream", "text/plain; charset=utf-8"),
    headers: fc.dictionary(word, word),
    priority: fc.integer({ min: 0, max: 99 }),
    key: maybe(word),
    deliverAt: maybe(instant),
    expiresAt: maybe(instant),
    type: maybe(word),
    to: maybe(word),
    correlationId: maybe(word),
    causationId: maybe(word),
    replyTo: maybe(word),
    traceparent: maybe(word),
    hops: fc.nat(100),
    origin: maybe(fc.constantFrom("internal", "external", "system")),
    provenance: maybe(fc.string()),
  })
  .map((init) => createEnvelope(init));

function refusal(attributes: Record<string, string>): HeraldError {
  try {
    envelopeOf(attributes, carried);
  } catch (error) {
    return error as HeraldError;
  }
  throw new Error("It was accepted.");
}

describe("round trip", () => {
  test("an envelope comes back from its attributes as it was, with whole milliseconds", () => {
    fc.assert(
      fc.property(envelope, instant, (original, storedAt) => {
        const { channel, headers } = original;
        const back = envelopeOf(attributesOf(original), { channel, body: original.body, headers, storedAt });
        expect(back).toEqual(original);
      }),
      { numRuns: 1000 },
    );
  });

  test("attributes are texts under names that CloudEvents allows", () => {
    fc.assert(
      fc.property(envelope, (original) => {
        for (const [name, value] of Object.entries(attributesOf(original))) {
          expect(name).toMatch(/^[a-z0-9]{1,20}$/);
          expect(value).toBeTypeOf("string");
        }
      }),
    );
  });

  test("fractions of a millisecond are cut, never rounded up", () => {
    const precise = createEnvelope({ ...minimal, time: 1_700_000_000_123.9, expiresAt: 1_700_000_000_999.9 });
    const back = envelopeOf(attributesOf(precise), carried);
    expect([back.time, back.expiresAt]).toEqual([1_700_000_000_123, 1_700_000_000_999]);
  });
});

describe("attributesOf", () => {
  test("what is at its default is left out", () => {
    expect(attributesOf(minimal)).toEqual({
      specversion: "1.0",
      id: "m-1",
      source: "shop",
      type: "herald.message",
      time: "2023-11-14T22:13:20.123Z",
      datacontenttype: "application/json",
    });
  });

  test("channel, body and the author's headers are not among them", () => {
    const attributes = attributesOf(createEnvelope({ ...minimal, headers: { "x-author": "me" } }));
    expect(Object.values(attributes)).not.toContain("orders.created");
    expect(Object.keys(attributes)).not.toContain("x-author");
  });
});

describe("envelopeOf", () => {
  test("a message of another tool, without any attribute, becomes an envelope", () => {
    const foreign = envelopeOf({}, carried);
    expect(foreign).toMatchObject({
      channel: "orders.created",
      source: "external",
      time: carried.storedAt,
      contentType: JSON_TYPE,
      priority: 50,
      hops: 0,
      type: undefined,
      key: undefined,
    });
    expect(foreign.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(foreign.headers).toBe(NO_HEADERS);
    expect(foreign.body).toBe(body);
    expect(envelopeOf({}, carried).id).not.toBe(foreign.id);
  });

  test("empty attributes count as none", () => {
    const empty = { id: "", source: "", time: "", priority: "", hops: "", expirytime: "" };
    expect(envelopeOf(empty, carried)).toMatchObject({
      source: "external",
      time: carried.storedAt,
      priority: 50,
      hops: 0,
    });
  });

  test("attributes that it does not know are passed over, those of the prototype's names too", () => {
    const attributes = JSON.parse(
      '{ "id": "m-1", "__proto__": "x", "constructor": "y", "sequence": "5" }',
    ) as Record<string, string>;
    const back = envelopeOf(attributes, carried);
    expect(Object.keys(back)).toEqual(Object.keys(minimal));
    expect(Object.getPrototypeOf(back)).toBe(EnvelopeDraft.prototype);
  });

  test.each([
    ["2026-01-02T03:04:05Z", 1_767_323_045_000],
    ["2026-01-02T03:04:05.678901Z", 1_767_323_045_678],
    ["2026-01-02T05:04:05.5+02:00", 1_767_323_045_500],
  ])("a time as other producers write it is read: %s", (time, epochMs) => {
    expect(envelopeOf({ time }, carried).time).toBe(epochMs);
  });

  test.each([
    ["time", "yesterday"],
    ["time", "1"],
    ["time", "2026"],
    ["time", "1767323045678"],
    ["time", "2026-01-02"],
    ["time", "2026-01-02T03:04:05"],
    ["time", "2026-13-02T03:04:05Z"],
    ["expirytime", "soon"],
    ["deliverytime", "Fri, 02 Jan 2026 03:04:05 GMT"],
    ["priority", "high"],
    ["priority", "100"],
    ["priority", "-1"],
    ["priority", "1.5"],
    ["hops", "NaN"],
    ["hops", "1e99"],
  ])("%s = %s is MALFORMED and named", (name, text) => {
    const error = refusal({ [name]: text });
    expect(error.code).toBe("MALFORMED");
    expect(error.message).toContain(`'${name}'`);
    expect(error.message).toContain(text);
    expect(error.details).toEqual({ attribute: name });
  });

  test("a very long value is cut in the error", () => {
    expect(refusal({ time: "x".repeat(100_000) }).message.length).toBeLessThan(200);
  });
});

describe("createEnvelope", () => {
  test("all envelopes have the same keys in the same order, whatever was given", () => {
    const full = createEnvelope({ ...minimal, provenance: "p", key: "k", hops: 2 });
    expect(Object.keys(full)).toEqual(Object.keys(minimal));
    expect(minimal).toMatchObject({ contentType: JSON_TYPE, headers: {}, priority: 50, hops: 0 });
  });

  test("the shared empty headers cannot be written to", () => {
    expect(() => Object.assign(minimal.headers, { a: "b" })).toThrow(TypeError);
  });
});
