import { describe, expect, it } from "vitest";
import { Codecs, PLAIN } from "../codec/codecs.ts";
import { delivery } from "../../test/support/consuming.ts";
import { JSON_TYPE, NO_HEADERS, type Envelope } from "../core/envelope.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import type { PublishOptions } from "../core/message.ts";
import { traceOf } from "../core/trace.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { Composer, type ComposeOptions } from "./compose.ts";
import { currentDelivery, DeliveryContext, type Outbox } from "./context.ts";

const START = Date.UTC(2026, 0, 1);
const UUID_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UUID_8 = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function composer(
  more: Partial<Omit<ComposeOptions, "limits">> & { readonly limits?: Partial<Limits> } = {},
) {
  const { limits, ...rest } = more;
  const all = { ...DEFAULT_LIMITS, ...limits };
  return new Composer({
    agentId: "shop",
    clock: new FakeClock(),
    limits: all,
    codecs: new Codecs(PLAIN, all),
    maxBodyBytes: 10_000_000,
    defaultKey: undefined,
    budget: undefined,
    seal: undefined,
    ...rest,
  });
}

function compose(
  payload: unknown,
  options?: PublishOptions,
  more: Parameters<typeof composer>[0] = {},
): Envelope {
  return atOnce(composer(more).compose("orders.created", payload, options));
}

/** What is encoded without asking anybody is there at once. */
function atOnce(composed: Envelope | Promise<Envelope>): Envelope {
  if (composed instanceof Promise) throw new Error("It was not composed at once.");
  return composed;
}

/** Composes as a handler does that handles `cause`. */
function inside(
  cause: Parameters<typeof delivery>[0],
  run: () => Envelope,
  outbox?: Partial<Outbox>,
): Envelope {
  const context = new DeliveryContext(delivery(cause), "shop", "g");
  if (outbox !== undefined) context.outbox = { scope: "g", envelopes: [], sealed: false, ...outbox };
  return currentDelivery.run(context, run);
}

function refusal(code: string, field?: string) {
  return expect.objectContaining(field === undefined ? { code } : { code, details: { field } });
}

describe("an envelope", () => {
  it("has defaults for everything that nobody said", () => {
    const envelope = compose({ a: 1 });
    expect(envelope).toEqual({
      id: expect.stringMatching(UUID_7),
      channel: "orders.created",
      source: "shop",
      time: START,
      body: Buffer.from('{"a":1}'),
      contentType: JSON_TYPE,
      headers: NO_HEADERS,
      priority: 50,
      correlationId: envelope.id,
      hops: 0,
    });
  });

  it("carries every option under its own name", () => {
    const options: Required<Omit<PublishOptions, "dedupe" | "budget">> = {
      id: "order-1",
      type: "event",
      to: "billing",
      correlationId: "talk-1",
      causationId: "cause-1",
      replyTo: "reply.shop",
      traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
      priority: "critical",
      ttlSeconds: 60,
      maxAttempts: 4,
      delayMs: 500,
      partitionKey: "customer-7",
      origin: "external",
      provenance: "signed",
      headers: { "x-one": "1" },
    };
    expect(compose(null, options)).toMatchObject({
      id: "order-1",
      type: "event",
      to: "billing",
      correlationId: "talk-1",
      causationId: "cause-1",
      replyTo: "reply.shop",
      traceparent: options.traceparent,
      priority: 10,
      expiresAt: START + 60_000,
      deliverAt: START + 500,
      key: "customer-7",
      origin: "external",
      provenance: "signed",
      headers: { "x-one": "1", "x-max-attempts": "4" },
    });
  });

  it("takes the default key of its channel where the author names none", () => {
    const defaultKey = (channel: string): string => `key of ${channel}`;
    expect(compose(1, {}, { defaultKey }).key).toBe("key of orders.created");
    expect(compose(1, { partitionKey: "mine" }, { defaultKey }).key).toBe("mine");
  });

  it("leaves out the headers that tell of one message's way to the dead letters and back", () => {
    const headers = { "x-dlq-channel": "c", "x-redrive-group": "other", "x-mine": "1" };
    expect(compose(1, { headers }).headers).toEqual({ "x-mine": "1" });
  });

  it("does not change when the author changes the headers afterwards", () => {
    const headers: Record<string, string> = { a: "1" };
    const envelope = compose(1, { headers });
    headers["a"] = "2";
    expect(envelope.headers["a"]).toBe("1");
  });
});

describe("what is published inside a handler", () => {
  const cause = { id: "0190b6e0-0000-7000-8000-000000000001", correlationId: "talk", hops: 3 };

  it("belongs to the conversation of the message that is handled, one hop on", () => {
    expect(inside(cause, () => compose(1))).toMatchObject({
      correlationId: "talk",
      causationId: cause.id,
      hops: 4,
    });
  });

  it("starts the conversation under the cause's id when the cause has none", () => {
    expect(inside({ id: "m-1" }, () => compose(1)).correlationId).toBe("m-1");
  });

  it("is of the cause's trace, in a span of its own", () => {
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const trace = traceOf(inside({ ...cause, traceparent }, () => compose(1)).traceparent ?? "");
    expect(trace?.traceId).toBe("a".repeat(32));
    expect(trace?.spanId).not.toBe("b".repeat(16));
  });

  it("is what its author says where the author says it", () => {
    const options = {
      correlationId: "mine",
      causationId: "other",
      traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-00`,
    };
    expect(inside(cause, () => compose(1, options))).toMatchObject(options);
  });

  it("is refused with HOP_LIMIT once the chain is too long", () => {
    expect(inside({ hops: 31 }, () => compose(1)).hops).toBe(32);
    expect(() => inside({ hops: 32, correlationId: "talk" }, () => compose(1))).toThrow(
      expect.objectContaining({
        code: "HOP_LIMIT",
        details: { hops: 33, maxHops: 32, correlationId: "talk" },
      }),
    );
  });

  it("may be a reply one hop beyond the limit, and no further", () => {
    expect(inside({ hops: 32 }, () => compose(1, { type: "reply" })).hops).toBe(33);
    expect(() => inside({ hops: 33 }, () => compose(1, { type: "reply" }))).toThrow(refusal("HOP_LIMIT"));
  });

  it("under exactly-once has an id that follows from its cause, its scope and its place", () => {
    const at = (scope: string, count: number): string =>
      inside(cause, () => compose(1), { scope, envelopes: Array.from({ length: count }) as Envelope[] }).id;

    expect(at("g", 0)).toMatch(UUID_8);
    expect(at("g", 0)).toBe(at("g", 0));
    expect(new Set([at("g", 0), at("g", 1), at("h", 0)]).size).toBe(3);
  });

  it("has an id of its own once the handler's effects have left", () => {
    expect(inside(cause, () => compose(1), { sealed: true }).id).toMatch(UUID_7);
  });

  it("keeps an id that its author chose, also under exactly-once", () => {
    expect(inside(cause, () => compose(1, { id: "chosen" }), {}).id).toBe("chosen");
  });
});

describe("nothing is composed from", () => {
  it.each(["", "a..b", "a b", "a.*", "#", "../x", "a\u0000", "é", "a".repeat(201), null, 5, {}])(
    "the channel %j",
    (channel) => {
      expect(() => composer().compose(channel as string, 1)).toThrow(refusal("INVALID_CHANNEL"));
    },
  );

  it("a channel that fails its check a second time either", () => {
    const target = composer();
    for (let i = 0; i < 2; i++) expect(() => target.compose("a b", 1)).toThrow(refusal("INVALID_CHANNEL"));
  });

  it.each<[string, unknown]>([
    ["id", ""],
    ["id", "a b"],
    ["id", "x".repeat(129)],
    ["id", 5],
    ["priority", 100],
    ["priority", "urgent"],
    ["maxAttempts", 0],
    ["maxAttempts", 2.5],
    ["maxAttempts", 1001],
    ["maxAttempts", "5"],
    ["ttlSeconds", -1],
    ["ttlSeconds", Number.NaN],
    ["ttlSeconds", "60"],
    ["ttlSeconds", 1e300],
    ["delayMs", Infinity],
    ["delayMs", 1n],
    ["delayMs", null],
    ["headers", null],
    ["headers", "a=1"],
    ["headers", ["a"]],
    ["headers", new Map([["a", "1"]])],
    ["headers", new Headers({ a: "1" })],
    ["headers", { a: 1 }],
    ["headers", { a: null }],
    ["headers", { "a b": "1" }],
    ["headers", { "a\r\nb": "1" }],
    ["headers", { "": "1" }],
    ["headers", { constructor: "1" }],
    ["headers", JSON.parse('{"__proto__": "1"}')],
    ["type", 5],
    ["to", {}],
    ["correlationId", "a\r\nb"],
    ["causationId", "x".repeat(1025)],
    ["replyTo", ["c"]],
    ["traceparent", 1],
    ["partitionKey", 7],
    ["origin", "\u0000"],
    ["provenance", true],
  ])("a bad %s (%#)", (field, value) => {
    expect(() => compose(1, { [field]: value } as PublishOptions)).toThrow(
      refusal("INVALID_ARGUMENT", field),
    );
  });

  it("more bytes than the limit, the broker's or our own", () => {
    const limits = { maxMessageBytes: 100 };
    expect(compose("x".repeat(98), {}, { limits }).body.byteLength).toBe(100);
    expect(() => compose("x".repeat(99), {}, { limits })).toThrow(
      expect.objectContaining({ code: "MESSAGE_TOO_LARGE", details: { bytes: 101, maxBytes: 100 } }),
    );
    expect(() => compose("x".repeat(9), {}, { maxBodyBytes: 10 })).toThrow(refusal("MESSAGE_TOO_LARGE"));
  });

  it("more header bytes than the limit, counted in UTF-8 with their names", () => {
    const limits = { maxHeaderBytes: 10 };
    expect(compose(1, { headers: { ab: "éé", c: "123" } }, { limits }).headers).toEqual({
      ab: "éé",
      c: "123",
    });
    expect(() => compose(1, { headers: { ab: "éé", c: "1234" } }, { limits })).toThrow(
      expect.objectContaining({ code: "HEADERS_TOO_LARGE", details: { bytes: 11, maxBytes: 10 } }),
    );
  });

  it("a payload that is too deep, that JSON cannot carry, or that poisons prototypes", () => {
    expect(() => compose([[1]], {}, { limits: { maxDepth: 1 } })).toThrow(refusal("DEPTH_LIMIT"));
    expect(() => compose(() => {})).toThrow(refusal("UNSERIALIZABLE"));
    expect(() => compose(JSON.parse('{"__proto__": {"isAdmin": true}}'))).toThrow(refusal("UNSAFE_PAYLOAD"));
  });
});

describe("a flood of channel names", () => {
  it("is checked name by name, however many were seen", () => {
    const target = composer();
    for (let i = 0; i < 10_001; i++) void target.compose(`c${i}`, 1);
    expect(atOnce(target.compose("c0", 1)).channel).toBe("c0");
    expect(() => target.compose("c 0", 1)).toThrow(refusal("INVALID_CHANNEL"));
  });
});
