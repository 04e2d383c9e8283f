import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEnvelope, type EnvelopeInit } from "../../core/envelope.ts";
import type { Incoming } from "./client.ts";
import { envelopeFrom, headersOf } from "./codec.ts";

/** Headers as the client reads them: lines split at CR LF, names from values at the first colon, values trimmed. */
function readBack(bytes: Uint8Array): Incoming["headers"] {
  const [first, ...lines] = Buffer.from(bytes).toString("utf8").split("\r\n");
  expect(first).toBe("NATS/1.0");
  const found = new Map<string, string[]>();
  for (const line of lines.filter((one) => one !== "")) {
    const at = line.indexOf(":");
    const name = line.slice(0, at);
    found.set(name, [...(found.get(name) ?? []), line.slice(at + 1).trim()]);
  }
  return found as unknown as Incoming["headers"];
}

const place = { channel: "c", id: "nats-1", storedAt: 5 };

function thereAndBack(init: Partial<EnvelopeInit>) {
  const envelope = createEnvelope({
    id: "i",
    channel: "c",
    source: "s",
    time: 1000,
    body: new Uint8Array([1]),
    ...init,
  });
  const headers = readBack(headersOf(envelope).encode());
  const back = envelopeFrom({ subject: "x.c", reply: "", data: envelope.body, headers }, place);
  return { envelope, back };
}

describe("headers of a message in NATS", () => {
  it("bring every attribute and header back as it was, whatever an author writes", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 30 });
    const some = fc.option(
      text.filter((one) => one !== ""),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.oneof(text, fc.constantFrom("nats-msg-id", "ce-id", "Content-Type", "x", "__proto__")),
          text,
        ),
        fc.record({
          key: some,
          to: some,
          type: some,
          replyTo: some,
          provenance: some,
          contentEncoding: some,
        }),
        (headers, attributes) => {
          const { envelope, back } = thereAndBack({ headers, ...attributes, source: 'grün 100% "x"' });
          expect({ ...back, headers: Object.entries(back.headers).toSorted() }).toEqual({
            ...envelope,
            headers: Object.entries(headers).toSorted(),
          });
        },
      ),
    );
  });

  it("never let a value begin a line of its own", () => {
    const { envelope } = thereAndBack({
      to: "a\r\nNats-Rollup: all",
      headers: { "x\r\ny": "1", z: "\r\nNats-TTL: 1s" },
    });
    expect(Buffer.from(headersOf(envelope).encode()).toString("utf8")).not.toMatch(/^Nats-/m);
  });

  it("say when a message is due to the millisecond, and never sooner", () => {
    expect(thereAndBack({ deliverAt: 1000.2 }).back.deliverAt).toBe(1001);
  });

  it("of another program's message are taken as they are; what cannot be read becomes a header", () => {
    const headers = new Map([
      ["CE-Priority", ["many"]],
      ["ce-source", ["50%off"]],
      ["X-Mine", ["1", "2"]],
      ["Nats-Msg-Id", ["m"]],
    ]) as unknown as Incoming["headers"];
    expect(
      envelopeFrom({ subject: "x.c", reply: "", data: new Uint8Array(0), headers }, place),
    ).toMatchObject({
      id: "nats-1",
      source: "50%off",
      time: 5,
      priority: 50,
      headers: { "X-Mine": "1", "x-malformed-priority": "many" },
    });
  });
});
