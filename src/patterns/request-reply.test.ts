import { describe, expect, it, vi } from "vitest";
import {
  CommandError,
  HeraldError,
  NoResponderError,
  RejectError,
  RequestTimeoutError,
  SnoozeError,
} from "../core/errors.ts";
import type { Message, Metadata, PublishOptions } from "../core/message.ts";
import type { HandlerContext } from "../core/middleware.ts";
import type { Published } from "../delivery/publisher.ts";
import { FakeClock, settlePromises } from "../testing/fake-clock.ts";
import { answering, Requester, type RequesterOptions } from "./request-reply.ts";

const accepted: Published = { ok: true, position: "1", deduplicated: false, matched: 1 };

interface Sent {
  readonly channel: string;
  readonly payload: unknown;
  readonly options: PublishOptions;
}

/** A message as it comes to the reply channel. */
function replyTo(id: string, payload: unknown, more: Partial<Metadata> = {}): Message {
  const metadata = { priority: 50, retryCount: 0, contentType: "application/json", causationId: id, ...more };
  return { id: "r", timestamp: "", source: "b", channel: "reply.a", payload, metadata };
}

/** A requester whose requests are kept, and whose replies are written by the test. */
function asking(more: Partial<RequesterOptions> = {}) {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  let deliver: (message: Message) => void = () => {};
  const onLate = vi.fn();
  const listen = vi.fn((onReply: (message: Message) => void) => {
    deliver = onReply;
    return Promise.resolve();
  });
  const requester = new Requester({
    clock,
    replyChannel: "reply.a",
    publish: (channel, payload, options) => {
      sent.push({ channel, payload, options });
      return Promise.resolve(accepted);
    },
    listen,
    onLate,
    ...more,
  });
  const idOf = (at: number): string => sent[at]?.options.id ?? "";
  return { clock, sent, requester, onLate, listen, idOf, reply: (message: Message) => deliver(message) };
}

describe("a request", () => {
  it("is published as a query with an id and the reply channel, and resolves with its reply", async () => {
    const { sent, requester, reply, idOf } = asking();
    const answer = requester.request("c", { a: 1 }, { priority: 10, timeoutMs: 5 });
    await settlePromises();
    expect(sent).toEqual([
      {
        channel: "c",
        payload: { a: 1 },
        options: { type: "query", priority: 10, id: expect.any(String), replyTo: "reply.a" },
      },
    ]);

    reply(replyTo(idOf(0), { b: 2 }));
    expect(await answer).toEqual({ b: 2 });
  });

  it("keeps the type and the id that its caller chose", async () => {
    const { sent, requester } = asking();
    void requester.request("c", 1, { id: "mine", type: "command" });
    await settlePromises();

    expect(sent[0]?.options).toMatchObject({ id: "mine", type: "command" });
  });

  it("gets its own reply, in whatever order they come", async () => {
    const { requester, reply, idOf } = asking();
    const answers = [0, 1, 2].map((payload) => requester.request("c", payload));
    await settlePromises();
    for (const at of [2, 0, 1]) reply(replyTo(idOf(at), `answer ${at}`));

    expect(await Promise.all(answers)).toEqual(["answer 0", "answer 1", "answer 2"]);
  });

  it("is answered by a reply written by hand that carries the correlation alone", async () => {
    const { requester, reply, idOf } = asking();
    const answer = requester.request("c", 1);
    await settlePromises();
    const { causationId: _none, ...metadata } = replyTo("", null).metadata;
    reply({ ...replyTo("", "by hand"), metadata: { ...metadata, correlationId: idOf(0) } });

    expect(await answer).toBe("by hand");
  });

  it.each([null, 0, "", false, [], { error: "part of the answer" }])(
    "may be answered with %j",
    async (payload) => {
      const { requester, reply, idOf } = asking();
      const answer = requester.request("c", 1);
      await settlePromises();
      reply(replyTo(idOf(0), payload));

      expect(await answer).toEqual(payload);
    },
  );

  it("rejects with the responder's own error", async () => {
    const { requester, reply, idOf } = asking();
    const answer = requester.request("c", 1);
    await settlePromises();
    reply(
      replyTo(
        idOf(0),
        { error: { code: "OUT_OF_STOCK", message: "None left." } },
        { headers: { "x-error-code": "OUT_OF_STOCK" } },
      ),
    );

    await expect(answer).rejects.toMatchObject({
      name: "CommandError",
      code: "OUT_OF_STOCK",
      message: "None left.",
    });
    await expect(answer).rejects.toBeInstanceOf(CommandError);
  });

  it.each([null, "text", 5, {}, { error: null }, { error: { message: 7 } }])(
    "rejects with the code alone where the responder's error is no error: %j",
    async (payload) => {
      const { requester, reply, idOf } = asking();
      const answer = requester.request("c", 1);
      await settlePromises();
      reply(replyTo(idOf(0), payload, { headers: { "x-error-code": "ODD" } }));

      await expect(answer).rejects.toMatchObject({ code: "ODD", message: "The responder failed with ODD." });
    },
  );

  it("rejects with a RequestTimeoutError exactly when its time is up, 30 s unless said otherwise", async () => {
    const { clock, requester } = asking();
    const short = requester.request("c", 1, { timeoutMs: 100 });
    const long = requester.request("c", 1);
    let ended = 0;
    for (const answer of [short, long]) answer.catch(() => ended++);
    await clock.advanceAsync(99);
    expect(ended).toBe(0);
    await clock.advanceAsync(1);
    await expect(short).rejects.toBeInstanceOf(RequestTimeoutError);
    await clock.advanceAsync(29_899);
    expect(ended).toBe(1);
    await clock.advanceAsync(1);

    await expect(long).rejects.toMatchObject({
      code: "TIMEOUT",
      details: { channel: "c", timeoutMs: 30_000 },
    });
  });

  it("rejects with a NoResponderError when its channel has no subscriber, and waits when nobody knows", async () => {
    const matched = [0, null, 1];
    const { requester } = asking({
      publish: () => Promise.resolve({ ...accepted, matched: matched.shift() ?? null }),
    });

    await expect(requester.request("c", 1)).rejects.toBeInstanceOf(NoResponderError);
    void requester.request("c", 1);
    void requester.request("c", 1);
    await settlePromises();
    expect(requester.pending).toBe(2);
  });

  it("rejects with what publishing rejects with", async () => {
    const error = new HeraldError("OVERLOADED", "Full.");
    const { clock, requester } = asking({ publish: () => Promise.reject(error) });

    await expect(requester.request("c", 1)).rejects.toBe(error);
    expect(requester.pending).toBe(0);
    await clock.advanceAsync(60_000);
  });

  it.each([0, -1, Number.NaN, "soon"])(
    "with the timeout %j is refused before anything is sent",
    async (timeoutMs) => {
      const { sent, requester } = asking();
      await expect(requester.request("c", 1, { timeoutMs: timeoutMs as number })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        details: { field: "timeoutMs" },
      });
      expect(sent).toEqual([]);
    },
  );

  it("with the id of one that waits is ALREADY_EXISTS, and leaves that one waiting", async () => {
    const { requester, reply } = asking();
    const first = requester.request("c", 1, { id: "m" });
    await expect(requester.request("c", 1, { id: "m" })).rejects.toMatchObject({ code: "ALREADY_EXISTS" });
    reply(replyTo("m", "fine"));

    expect(await first).toBe("fine");
  });
});

describe("a request with a signal", () => {
  it("that has fired sends nothing", async () => {
    const { sent, requester } = asking();
    await expect(
      requester.request("c", 1, { signal: AbortSignal.abort(new Error("changed my mind")) }),
    ).rejects.toMatchObject({
      code: "CANCELLED",
      cause: { message: "changed my mind" },
    });
    expect(sent).toEqual([]);
  });

  it("that fires while the reply channel is being opened sends nothing", async () => {
    const opened = Promise.withResolvers<void>();
    const { sent, requester } = asking({ listen: () => opened.promise });
    const controller = new AbortController();
    const answer = requester.request("c", 1, { signal: controller.signal });
    controller.abort();
    opened.resolve();

    await expect(answer).rejects.toMatchObject({ code: "CANCELLED" });
    expect(sent).toEqual([]);
  });

  it("that fires while it waits is CANCELLED, and its reply comes too late", async () => {
    const { requester, reply, idOf, onLate } = asking();
    const controller = new AbortController();
    const answer = requester.request("c", 1, { signal: controller.signal });
    await settlePromises();
    controller.abort();

    await expect(answer).rejects.toMatchObject({ code: "CANCELLED" });
    reply(replyTo(idOf(0), 1));
    expect(onLate).toHaveBeenCalledOnce();
  });

  it("leaves no listener on it once it has ended", async () => {
    const { requester, reply, idOf } = asking();
    const controller = new AbortController();
    const remove = vi.spyOn(controller.signal, "removeEventListener");
    const answer = requester.request("c", 1, { signal: controller.signal });
    await settlePromises();
    reply(replyTo(idOf(0), 1));
    await answer;
    controller.abort();

    expect(remove).toHaveBeenCalledWith("abort", expect.any(Function));
  });
});

describe("a reply", () => {
  it("that nobody waits for is counted as late: after its timeout, twice, or of a stranger", async () => {
    const { clock, requester, reply, idOf, onLate } = asking();
    const answer = requester.request("c", 1, { timeoutMs: 10 });
    await Promise.all([expect(answer).rejects.toMatchObject({ code: "TIMEOUT" }), clock.advanceAsync(10)]);
    reply(replyTo(idOf(0), 1));
    const second = requester.request("c", 1);
    await settlePromises();
    reply(replyTo(idOf(1), 1));
    reply(replyTo(idOf(1), 2));
    reply(replyTo("unknown", 1));

    expect(await second).toBe(1);
    expect(onLate).toHaveBeenCalledTimes(3);
  });
});

describe("a thousand requests that were answered", () => {
  it("leave nothing that waits, and no timer beyond the one that finds nothing to do", async () => {
    const { clock, requester, reply, idOf } = asking();
    const answers = Array.from({ length: 1000 }, () => requester.request("c", 1));
    await settlePromises();
    for (let at = 0; at < 1000; at++) reply(replyTo(idOf(at), at));
    await Promise.all(answers);

    expect(requester.pending).toBe(0);
    expect(clock.pending).toBeLessThanOrEqual(1);
    await clock.advanceAsync(30_000);
    expect(clock.pending).toBe(0);
  });
});

describe("the reply channel", () => {
  it("is opened once, however many requests come at the same time", async () => {
    const { requester, listen } = asking();
    for (let i = 0; i < 5; i++) void requester.request("c", 1);
    await settlePromises();
    void requester.request("c", 1);

    expect(listen).toHaveBeenCalledOnce();
    expect(requester.pending).toBe(6);
  });

  it("that could not be opened is tried again with the next request", async () => {
    let attempts = 0;
    const listen = () =>
      ++attempts === 1 ? Promise.reject(new HeraldError("NOT_CONNECTED", "Away.")) : Promise.resolve();
    const { sent, requester } = asking({ listen });

    await expect(requester.request("c", 1)).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    void requester.request("c", 1);
    await settlePromises();
    expect([attempts, sent.length]).toEqual([2, 1]);
  });
});

describe("closing", () => {
  it("rejects what waits with CLOSED, and whatever is asked later", async () => {
    const { clock, requester } = asking();
    const answers = [requester.request("c", 1), requester.request("c", 1)];
    await settlePromises();
    requester.close();

    for (const answer of answers) await expect(answer).rejects.toMatchObject({ code: "CLOSED" });
    await expect(requester.request("c", 1)).rejects.toMatchObject({ code: "CLOSED" });
    expect(requester.pending).toBe(0);
    expect(clock.pending).toBe(0);
  });
});

describe("an answering handler", () => {
  const context = {} as HandlerContext;
  const query = (replyChannel?: string): Message => {
    const { metadata, ...rest } = replyTo("m", 1);
    return {
      ...rest,
      metadata: replyChannel === undefined ? metadata : { ...metadata, replyTo: replyChannel },
    };
  };

  it("sends what its handler returns, now or later, to a message that wants a reply", async () => {
    const send = vi.fn(() => Promise.resolve());
    expect(await answering(() => 7, send)(query("r"), context)).toBe(7);
    expect(await answering(async () => 8, send)(query("r"), context)).toBe(8);

    expect(send.mock.calls).toEqual([
      [query("r"), 7],
      [query("r"), 8],
    ]);
  });

  it("sends nothing where nothing is returned, or nobody wants a reply", async () => {
    const send = vi.fn(() => Promise.resolve());
    await answering(() => undefined, send)(query("r"), context);
    expect(answering(() => 7, send)(query(), context)).toBe(7);

    expect(send).not.toHaveBeenCalled();
  });

  it.each<[string, unknown, string, string]>([
    ["an error of its own", new Error("no luck"), "HANDLER_FAILED", "no luck"],
    ["one of Herald's", new HeraldError("OUT_OF_STOCK", "None left."), "OUT_OF_STOCK", "None left."],
    ["a rejection", new RejectError("never"), "REJECTED", "never"],
    ["a string", "oops", "HANDLER_FAILED", "oops"],
  ])("sends %s as the reply, and is handled", async (_name, thrown, code, message) => {
    const send = vi.fn(() => Promise.resolve());
    const handler = answering(() => {
      throw thrown;
    }, send);

    expect(await handler(query("r"), context)).toBeUndefined();
    expect(send.mock.calls).toEqual([[query("r"), { error: { code, message } }, { "x-error-code": code }]]);
  });

  it("passes a snooze on: the question is answered later", async () => {
    const send = vi.fn(() => Promise.resolve());
    const handler = answering(() => {
      throw new SnoozeError(5);
    }, send);

    await expect(handler(query("r"), context)).rejects.toBeInstanceOf(SnoozeError);
    expect(send).not.toHaveBeenCalled();
  });

  it("reports a result that can never be sent as its error, once", async () => {
    const sent: unknown[] = [];
    const send = (_message: Message, payload: unknown) => {
      sent.push(payload);
      return sent.length === 1
        ? Promise.reject(new HeraldError("MESSAGE_TOO_LARGE", "Too large."))
        : Promise.resolve();
    };

    expect(await answering(() => 7, send)(query("r"), context)).toBeUndefined();
    expect(sent).toEqual([7, { error: { code: "MESSAGE_TOO_LARGE", message: "Too large." } }]);
  });

  it("fails when its reply cannot be sent, so that the question comes again", async () => {
    const send = () => Promise.reject(new HeraldError("OVERLOADED", "Full."));

    await expect(answering(() => 7, send)(query("r"), context)).rejects.toMatchObject({ code: "OVERLOADED" });
  });
});
