import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { createEnvelope } from "../core/envelope.ts";
import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { world } from "../../test/support/agents.ts";
import type { MessagingService } from "./service.ts";

/** Two agents, of which the second answers on `question`. */
async function asking(handler: (message: Message, answerer: MessagingService) => unknown) {
  const here = world();
  const [asker, answerer] = [await here.agent("asker"), await here.agent("answerer")];
  await answerer.subscribe("question", (message) => handler(message, answerer));
  return { ...here, asker, answerer };
}

describe("a request", () => {
  it("resolves with what the handler returns, null included", async () => {
    const { asker } = await asking(({ payload }) => payload);

    for (const payload of [{ deep: [1, "two", null] }, "text", 0, false, null, ""]) {
      await expect(asker.request("question", payload)).resolves.toEqual(payload);
    }
  });

  it("resolves with what the handler answers by hand, after its return if need be", async () => {
    const { asker } = await asking((message, answerer) => {
      setImmediate(() => void answerer.reply(message, "by hand", { tag: "x" }));
    });

    await expect(asker.request("question", 1)).resolves.toBe("by hand");
  });

  it("resolves with what anybody publishes to its replyTo under its correlation", async () => {
    const { asker } = await asking((message, answerer) => {
      const { replyTo = "", correlationId = "" } = message.metadata;
      setImmediate(() => void answerer.publish(replyTo, "published", { correlationId }));
    });

    await expect(asker.request("question", 1)).resolves.toBe("published");
  });

  it("takes the first reply and counts the second as late", async () => {
    const { asker } = await asking(async (message, answerer) => {
      await answerer.reply(message, "first");
      return "second";
    });

    await expect(asker.request("question", 1)).resolves.toBe("first");
    await expect.poll(() => asker.getMetrics().lateReplies).toBe(1);
  });

  it("rejects with a CommandError of the code that the handler's error has", async () => {
    const { asker, answerer } = await asking(({ payload }) => {
      throw payload === "known" ? new HeraldError("OUT_OF_STOCK", "None left.") : new TypeError("no luck");
    });

    await expect(asker.request("question", "known")).rejects.toMatchObject({
      name: "CommandError",
      code: "OUT_OF_STOCK",
      message: "None left.",
    });
    await expect(asker.request("question", "other")).rejects.toMatchObject({
      code: "HANDLER_FAILED",
      message: "no luck",
    });
    expect(answerer.getMetrics()).toMatchObject({ handled: 2, retried: 0, deadLettered: 0 });
  });

  it("rejects with the reason why a result can never be sent", async () => {
    const { asker } = await asking(({ payload }) => (payload === "bigint" ? 10n : "x".repeat(2 ** 20)));

    await expect(asker.request("question", "bigint")).rejects.toMatchObject({
      name: "CommandError",
      code: "UNSERIALIZABLE",
    });
    await expect(asker.request("question", "large")).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
  });

  it("rejects with what a middleware of the responder throws, or resolves with what it returns instead", async () => {
    const { agent } = world();
    const service = await agent("a");
    const handler = vi.fn(() => "handled");
    service.use((message, _context, next) => {
      if (message.payload === "refuse") throw new HeraldError("UNAUTHENTICATED", "Who is that?");
      return message.payload === "known" ? "from the middleware" : next();
    });
    await service.subscribe("question", handler);

    await expect(service.request("question", "refuse")).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await expect(service.request("question", "known")).resolves.toBe("from the middleware");
    expect(handler).not.toHaveBeenCalled();
    await expect(service.request("question", "else")).resolves.toBe("handled");
  });

  it("rejects at once with a NoResponderError when nobody listens, naming the channel", async () => {
    const { agent, clock } = world();
    const service = await agent("a");

    await expect(service.request("nobody.home", 1)).rejects.toMatchObject({
      name: "NoResponderError",
      code: "NO_RESPONDER",
      retryable: true,
      details: { channel: "nobody.home" },
    });
    expect(clock.monotonic()).toBe(0);
  });

  it("rejects with a RequestTimeoutError when its time is up; the late reply is counted and dropped", async () => {
    const answer = Promise.withResolvers<string>();
    const { asker, clock } = await asking(() => answer.promise);
    const asked = asker.request("question", 1, { timeoutMs: 250 }).catch((error: unknown) => error);

    await clock.advanceAsync(249);
    expect(asker.getMetrics().lateReplies).toBe(0);
    await clock.advanceAsync(1);
    expect(await asked).toMatchObject({
      name: "RequestTimeoutError",
      code: "TIMEOUT",
      details: { channel: "question", timeoutMs: 250 },
    });

    answer.resolve("too late");
    await expect.poll(() => asker.getMetrics().lateReplies).toBe(1);
    expect(asker.getMetrics()).toMatchObject({ failed: 0, deadLettered: 0 });
  });

  it("rejects with CANCELLED when its signal fires, before or while it waits", async () => {
    const { asker, answerer } = await asking(() => new Promise(() => {}));
    const stop = new AbortController();
    const asked = asker.request("question", 1, { signal: stop.signal });
    await expect.poll(() => answerer.getMetrics().delivered).toBe(1);

    const reason = new Error("changed my mind");
    stop.abort(reason);

    await expect(asked).rejects.toMatchObject({ code: "CANCELLED", cause: reason });
    await expect(asker.request("question", 2, { signal: stop.signal })).rejects.toMatchObject({
      code: "CANCELLED",
    });
    expect(answerer.getMetrics().delivered).toBe(1);
  });

  it("rejects with INVALID_ARGUMENT for a time limit that is none", async () => {
    const { asker } = await asking(() => 1);

    for (const timeoutMs of [0, -1, Number.NaN]) {
      await expect(asker.request("question", 1, { timeoutMs })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        details: { field: "timeoutMs" },
      });
    }
  });

  it("rejects with CLOSED when its service stops", async () => {
    const { asker, answerer } = await asking(() => new Promise(() => {}));
    const asked = asker.request("question", 1).catch((error: unknown) => error);
    await expect.poll(() => answerer.getMetrics().delivered).toBe(1);

    await asker.stop();

    expect(await asked).toMatchObject({ code: "CLOSED" });
  });

  it("that a handler waits for is still answered while its service drains", async () => {
    const release = Promise.withResolvers<void>();
    const { asker } = await asking(() => release.promise.then(() => "in time"));
    const got: unknown[] = [];
    const begun = Promise.withResolvers<void>();
    await asker.subscribe("job", async () => {
      begun.resolve();
      got.push(await asker.request("question", 1));
    });
    await asker.publish("job", 1);
    await begun.promise;

    const stopping = asker.stop();
    await expect.poll(() => asker.listSubscriptions()).toEqual([]);
    release.resolve();

    expect(await stopping).toBe(0);
    expect(got).toEqual(["in time"]);
  });

  it("leaves no reply channel that anybody listens on once its service has stopped", async () => {
    const { agent, broker } = world();
    const [service, other] = [
      await agent("a", { closeBroker: false }),
      await agent("b", { closeBroker: false }),
    ];
    await service.subscribe("question", ({ metadata }) => metadata.replyTo);
    const channel = await service.request<string>("question", 1);

    await service.stop();

    await expect(other.request(channel, "anybody?")).rejects.toMatchObject({ code: "NO_RESPONDER" });
    expect(broker.isClosed).toBe(false);
  });

  it("needs one reply channel a service, that no list of its own subscriptions shows", async () => {
    const { asker, broker } = await asking(({ metadata }) => metadata.replyTo);

    const channels = await Promise.all([1, 2, 3].map((n) => asker.request<string>("question", n)));

    expect(new Set(channels).size).toBe(1);
    expect(channels[0]).toMatch(/^reply\.asker\./);
    expect(asker.listSubscriptions()).toEqual([]);
    expect((await broker.inspect()).channels.map(({ channel }) => channel)).toContain(channels[0]);
  });

  it("leaves nothing behind, a hundred thousand times, answered, failed and timed out", async () => {
    const { asker, broker, clock, time } = await asking(({ payload }) => {
      if (payload === "fail") throw new Error("no");
      return payload === "hang" ? undefined : payload;
    });
    const { signal } = new AbortController();
    const batch = async (size: number): Promise<void> => {
      const kinds = ["ok", "fail", "hang"];
      const asked = Array.from({ length: size }, (_none, n) =>
        asker
          .request("question", kinds[n % 100] ?? "ok", { timeoutMs: 1000, signal })
          .catch((error: HeraldError) => error.code),
      );
      const got = await time.drive(Promise.all(asked));
      expect(got.slice(0, 4)).toEqual(["ok", "HANDLER_FAILED", "TIMEOUT", "ok"]);
    };
    const left = async (): Promise<object> => {
      const { channels } = await broker.inspect();
      const groups = channels.map(({ channel, groups }) => [
        channel,
        groups.length,
        groups.map(({ lag }) => lag),
      ]);
      return { groups, timers: clock.pending, listeners: getEventListeners(signal, "abort").length };
    };
    await batch(5);
    const afterTheFirst = await left();

    for (let n = 0; n < 20; n++) await batch(5000);

    expect(await left()).toEqual(afterTheFirst);
    expect(asker.getMetrics()).toMatchObject({ published: 100_005, lateReplies: 0 });
  });
});

describe("an answer by hand", () => {
  it("finds its request from outside of every handler, also in the midst of a longer conversation", async () => {
    const { agent } = world();
    const service = await agent("a");
    const [asked, answers]: [Message[], unknown[]] = [[], []];
    await service.subscribe("question", (message) => void asked.push(message));
    await service.subscribe("in", async () => answers.push(await service.request("question", 1)));
    await service.publish("in", 1);
    await expect.poll(() => asked).toHaveLength(1);

    await service.reply(asked[0] as Message, "from outside");

    await expect.poll(() => answers).toEqual(["from outside"]);
  });

  it("to a message that wants none is INVALID_ARGUMENT, saying so", async () => {
    const { agent } = world();
    const service = await agent("a");
    const tried: unknown[] = [];
    await service.subscribe("x", async (message) =>
      tried.push(await service.reply(message, 1).catch((error: unknown) => error)),
    );

    const id = await service.publish("x", 1);

    await expect.poll(() => tried).toHaveLength(1);
    expect(tried[0]).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: `The message '${id}' wants no reply: answer only what has a replyTo in its metadata.`,
    });
  });
});

describe("a message from elsewhere that wants a reply", () => {
  it("is answered by what its handler returns, also without a correlation", async () => {
    const { agent, broker } = world();
    const service = await agent("a");
    const got: Message[] = [];
    await service.subscribe("question", () => "answer");
    await service.subscribe("answers", (message) => void got.push(message), { guarantee: "at-most-once" });
    const body = new TextEncoder().encode("1");
    const foreign = { id: "7", source: "elsewhere", time: 0, channel: "question", replyTo: "answers", body };
    await broker.publish([createEnvelope(foreign)]);

    await expect.poll(() => got).toHaveLength(1);
    expect(got[0]).toMatchObject({
      payload: "answer",
      metadata: { to: "elsewhere", causationId: "7", type: "reply" },
    });
  });
});
