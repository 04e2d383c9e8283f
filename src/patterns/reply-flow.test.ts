import { describe, expect, it } from "vitest";
import type { Message } from "../core/message.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { Inflow, Outflow, RUN, SEQUENCE, STREAM } from "./reply-flow.ts";
import { ERROR_HEADER } from "./request-reply.ts";

function reply(payload: unknown, headers: Readonly<Record<string, string>>): Message {
  const metadata = {
    priority: 50,
    retryCount: 0,
    contentType: "application/json",
    replyTo: "reply.b",
    headers,
  };
  return { id: "r", timestamp: "", source: "b", channel: "reply.a", payload, metadata };
}

const part = (run: string, sequence: number, kind = "part"): Message =>
  reply(sequence, { [STREAM]: kind, [SEQUENCE]: String(sequence), [RUN]: run });

describe("what comes of a stream", () => {
  it("is taken in order, however it comes and however often", async () => {
    const flow = new Inflow(new FakeClock(), "c");
    for (const sequence of [2, 0, 0, 1, 2]) flow.accept(part("x", sequence));
    flow.accept(part("x", 3, "end"));
    const taken = [await flow.next(1), await flow.next(1), await flow.next(1), await flow.next(1)];

    expect(taken).toEqual(
      [0, 1, 2].map((value) => ({ kind: "part", value })).concat([{ kind: "end" } as never]),
    );
    expect(flow.responder).toEqual({ channel: "reply.b", run: "x" });
    expect(flow.taken).toBe(4);
  });

  it("begins again with another run before any was taken, and is a CONFLICT after", async () => {
    const flow = new Inflow(new FakeClock(), "c");
    flow.accept(part("x", 1));
    flow.accept(part("y", 0));
    expect(await flow.next(1)).toEqual({ kind: "part", value: 0 });
    flow.accept(part("z", 0));

    await expect(flow.next(1)).rejects.toMatchObject({ code: "CONFLICT", retryable: true });
  });

  it("ends with a failure, in its place or of a responder that knows no streams", async () => {
    const flow = new Inflow(new FakeClock(), "c");
    flow.accept(
      reply(
        { error: { message: "no" } },
        { [ERROR_HEADER]: "OUT", [STREAM]: "failed", [SEQUENCE]: "0", [RUN]: "x" },
      ),
    );
    expect(await flow.next(1)).toMatchObject({ kind: "failed", error: { code: "OUT", message: "no" } });

    const plain = new Inflow(new FakeClock(), "c");
    plain.accept(reply(null, { [ERROR_HEADER]: "OUT" }));
    expect(await plain.next(1)).toMatchObject({ kind: "failed", error: { code: "OUT" } });
  });

  it("that does not come in time is a timeout, and leaves no timer", async () => {
    const clock = new FakeClock();
    const flow = new Inflow(clock, "c");
    const next = flow.next(100);
    next.catch(() => undefined);
    await clock.advanceAsync(100);

    await expect(next).rejects.toMatchObject({ name: "RequestTimeoutError", details: { channel: "c" } });
    expect(clock.pending).toBe(0);
  });
});

describe("a responder", () => {
  it("sends what there is room for, waits for more, and is told when nobody takes any", async () => {
    const clock = new FakeClock();
    const flow = new Outflow(clock, 2);
    const sent: number[] = [];
    const sending = (async () => {
      for (;;) sent.push(await flow.room(1000));
    })();
    sending.catch(() => undefined);
    await clock.advanceAsync(999);
    expect(sent).toEqual([0, 1]);
    flow.grant(3);
    flow.grant(1);
    await clock.advanceAsync(999);
    expect([sent, flow.signal.aborted]).toEqual([[0, 1, 2], false]);
    await clock.advanceAsync(1);

    await expect(sending).rejects.toMatchObject({ code: "CANCELLED" });
    expect(flow.signal.aborted).toBe(true);
    expect(clock.pending).toBe(0);
  });
});
