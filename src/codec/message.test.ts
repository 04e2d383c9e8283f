import { describe, expect, it } from "vitest";
import { envelope } from "../../test/support/envelopes.ts";
import { toMessage } from "./message.ts";

describe("a message", () => {
  it("has the six keys of the OSSA envelope and nothing else at the top", () => {
    const message = toMessage(
      envelope({ id: "m", channel: "c", source: "s", time: 1_767_323_045_678.9 }),
      { a: 1 },
      1,
    );

    expect(message).toStrictEqual({
      id: "m",
      timestamp: "2026-01-02T03:04:05.678Z",
      source: "s",
      channel: "c",
      payload: { a: 1 },
      metadata: { priority: 50, retryCount: 0, contentType: "application/json" },
    });
  });

  it("has what its envelope carries under the names of the document", () => {
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const { metadata } = toMessage(
      envelope({
        time: 1000,
        priority: 7,
        contentType: "text/plain",
        type: "event",
        to: "billing",
        correlationId: "talk",
        causationId: "cause",
        replyTo: "reply.x",
        traceparent,
        expiresAt: 61_000,
        key: "k",
        origin: "external",
        hops: 2,
        provenance: "p",
        headers: { h: "1" },
      }),
      null,
      3,
    );

    expect(metadata).toStrictEqual({
      priority: 7,
      retryCount: 2,
      contentType: "text/plain",
      type: "event",
      to: "billing",
      correlationId: "talk",
      causationId: "cause",
      replyTo: "reply.x",
      traceparent,
      traceId: "a".repeat(32),
      spanId: "b".repeat(16),
      ttlSeconds: 60,
      partitionKey: "k",
      origin: "external",
      hops: 2,
      provenance: "p",
      headers: { h: "1" },
    });
  });

  it("leaves out a trace that cannot be read", () => {
    const { metadata } = toMessage(envelope({ traceparent: "nonsense" }), null, 1);
    expect(Object.keys(metadata)).toEqual(["priority", "retryCount", "contentType"]);
  });

  it("has headers of its own: changing them changes nobody else's", () => {
    const one = envelope({ headers: { h: "1" } });
    const first = toMessage(one, null, 1);
    (first.metadata.headers as Record<string, string>)["h"] = "2";

    expect(toMessage(one, null, 1).metadata.headers).toEqual({ h: "1" });
  });
});
