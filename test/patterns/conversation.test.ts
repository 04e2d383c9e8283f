import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import { CommandError } from "../../src/core/errors.ts";
import { RequestReply } from "../../src/service/patterns.ts";
import { MessagingService } from "../../src/service/service.ts";
import { settlePromises } from "../../src/testing/fake-clock.ts";
import { run } from "../support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");

const BROKERS: Readonly<Record<string, () => Broker>> = {
  memory: () => new MemoryBroker(),
  file: () => {
    const folder = mkdtempSync(path.join(tmpdir(), "herald-conversation-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    return new FileBroker({ directory: path.join(folder, "store") });
  },
};

describe.each(Object.entries(BROKERS))("over the %s broker", (_name, makeBroker) => {
  /** A number of agents over one broker, each with its questions and answers. */
  async function agents(...ids: readonly string[]) {
    const broker = makeBroker();
    return Promise.all(
      ids.map(async (agentId) => {
        const service = new MessagingService({ agentId, broker, gracePeriodMs: 100 });
        await service.start();
        const asking = new RequestReply(service);
        onTestFinished(async () => {
          await asking.close();
          await service.stop();
        });
        return asking;
      }),
    );
  }

  describe("a request", () => {
    it("resolves with the value that the handler makes of its payload", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      await b.reply<[number, number], number>("math.add", ([x, y]) => x + y);
      expect(await a.request<number>("math.add", [1, 2])).toBe(3);
      await b.reply("say.nothing", () => undefined);
      expect(await a.request("say.nothing", 1)).toBeNull();
    });

    it("is sent again under the same id when nobody answered, and not when the answer is a failure", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      const ids: string[] = [];
      a.setTimeout(300);
      a.setRetry({ attempts: 3, delay: 5, backoff: "constant" });
      await b.reply("slow", (_payload, { id }) => {
        ids.push(id);
        return ids.length < 3 ? new Promise(() => {}) : "at last";
      });
      expect(await a.request("slow", 1, { id: "q1" })).toBe("at last");
      expect(ids).toEqual(["q1", "q1", "q1"]);

      let asked = 0;
      await b.reply("fails", () => {
        asked++;
        throw new Error("no");
      });
      await expect(a.request("fails", 1)).rejects.toBeInstanceOf(CommandError);
      expect(asked).toBe(1);
      await expect(a.request("nobody", 1)).rejects.toMatchObject({ code: "NO_RESPONDER" });
    });

    it.each([
      ["timeout", (asking: RequestReply) => asking.setTimeout(0)],
      ["retry.maxAttempts", (asking: RequestReply) => asking.setRetry({ attempts: -1, delay: 1 })],
    ])("refuses a wrong %s", async (field, set) => {
      const [a] = (await agents("a")) as [RequestReply];
      expect(() => set(a)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }));
    });

    it("that is cancelled while it waits to be sent again is over", async () => {
      const [a] = (await agents("a")) as [RequestReply];
      a.setRetry({ attempts: 5, delay: 60_000 });
      const aborting = new AbortController();
      const answer = a.request("nobody", 1, { signal: aborting.signal });
      await settlePromises();
      aborting.abort();
      await expect(answer).rejects.toMatchObject({ code: "CANCELLED" });
    });
  });

  describe("a request for several replies", () => {
    it("resolves with the first so many, failures among them, each with its agent", async () => {
      const [a, b, c] = (await agents("a", "b", "c")) as [RequestReply, RequestReply, RequestReply];
      await b.reply("price", () => 7);
      await c.reply("price", () => {
        throw new Error("sold out");
      });
      const answers = await a.request<number>("price", 1, { replies: 2 });
      expect(answers.toSorted((x, y) => x.from.localeCompare(y.from))).toMatchObject([
        { ok: true, data: 7, from: "b" },
        { ok: false, error: { code: "HANDLER_FAILED", message: "sold out" }, from: "c" },
      ]);
    });

    it("resolves at the deadline with those that came, and is a timeout when none did", async () => {
      const [a, b, c] = (await agents("a", "b", "c")) as [RequestReply, RequestReply, RequestReply];
      await b.reply("price", () => 7);
      await c.reply("price", () => new Promise(() => {}));
      expect(await a.request("price", 1, { replies: Infinity, timeoutMs: 500 })).toEqual([
        { ok: true, data: 7, from: "b" },
      ]);
      await c.reply("never", () => new Promise(() => {}));
      await expect(a.request("never", 1, { replies: 2, timeoutMs: 20 })).rejects.toMatchObject({
        code: "TIMEOUT",
      });
      await expect(a.request("price", 1, { replies: 0 })).rejects.toMatchObject({
        details: { field: "replies" },
      });
    });
  });

  describe("a query", () => {
    it("is never rejected: what went wrong is in its result", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      const types: unknown[] = [];
      await b.reply("messages", (_payload, { metadata }) => {
        types.push(metadata.type);
        return { messages: ["hi"] };
      });
      expect(await a.query("messages", {})).toEqual({ ok: true, data: { messages: ["hi"] } });
      expect(types).toEqual(["query"]);
      expect(await a.query("nobody", {})).toMatchObject({ ok: false, error: { code: "NO_RESPONDER" } });
    });
  });

  describe("a streamed reply", () => {
    it("comes in parts and in order, with progress between them, and ends", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      await b.replyStream<number, number>("count", async function* (upTo, { progress }) {
        for (let n = 0; n < upTo; n++) {
          if (n === 20) await progress("half");
          yield n;
        }
      });
      const [parts, heard]: [number[], unknown[]] = [[], []];
      for await (const part of a.stream<number>("count", 40, {
        window: 3,
        onProgress: (value) => heard.push(value),
      }))
        parts.push(part);
      expect(parts).toEqual(Array.from({ length: 40 }, (_none, n) => n));
      expect(heard).toEqual(["half"]);
    });

    it("is never further ahead than the window", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      let made = 0;
      await b.replyStream("count", async function* () {
        for (;;) yield made++;
      });
      let taken = 0;
      for await (const part of a.stream<number>("count", 1, { window: 4 })) {
        expect(part).toBe(taken++);
        await settlePromises();
        // One more is made, and waits for room.
        expect(made).toBeLessThanOrEqual(taken + 4 + 1);
        if (taken === 20) break;
      }
      expect(taken).toBe(20);
    });

    it("that is left ends at the responder too, by its signal", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      const ended: string[] = [];
      await b.replyStream("count", async function* (_payload, { signal }) {
        signal.addEventListener("abort", () => ended.push((signal.reason as { code: string }).code));
        try {
          for (let n = 0; ; n++) yield n;
        } finally {
          ended.push("returned");
        }
      });
      for await (const part of a.stream("count", 1, { window: 2 })) if (part === 1) break;
      await expect.poll(() => ended).toEqual(["CANCELLED", "returned"]);

      const aborting = new AbortController();
      const reading = (async () => {
        for await (const part of a.stream("count", 1, { window: 2, signal: aborting.signal }))
          if (part === 1) aborting.abort();
      })();
      await expect(reading).rejects.toMatchObject({ code: "CANCELLED" });
      await expect.poll(() => ended.length).toBe(4);
    });

    it("ends with the responder's error after the parts that came before it", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      await b.replyStream("breaks", async function* () {
        yield 1;
        throw new Error("out of paper");
      });
      const parts: unknown[] = [];
      const reading = (async () => {
        for await (const part of a.stream("breaks", 1)) parts.push(part);
      })();
      await expect(reading).rejects.toMatchObject({ name: "CommandError", message: "out of paper" });
      expect(parts).toEqual([1]);
    });

    it("of a plain responder has one part, and a plain request to a streaming one gets all parts", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      await b.reply("plain", () => "all at once");
      await b.replyStream("parts", () => [1, 2, 3]);
      const parts: unknown[] = [];
      for await (const part of a.stream("plain", 1)) parts.push(part);
      expect(parts).toEqual(["all at once"]);
      expect(await a.request("parts", 1)).toEqual([1, 2, 3]);
    });

    it("that falls silent is a timeout, and wrong options are refused", async () => {
      const [a, b] = (await agents("a", "b")) as [RequestReply, RequestReply];
      await b.replyStream("silent", async function* () {
        yield 1;
        await new Promise(() => {});
      });
      const parts: unknown[] = [];
      const reading = (async () => {
        for await (const part of a.stream("silent", 1, { timeoutMs: 300 })) parts.push(part);
      })();
      await expect(reading).rejects.toMatchObject({ code: "TIMEOUT" });
      expect(parts).toEqual([1]);
      await expect(a.stream("silent", 1, { window: 0 }).next()).rejects.toMatchObject({
        details: { field: "window" },
      });
      await expect(a.stream("silent", 1, { timeoutMs: 0 }).next()).rejects.toMatchObject({
        details: { field: "timeoutMs" },
      });
      await expect(a.stream("silent", 1, { signal: AbortSignal.abort() }).next()).rejects.toMatchObject({
        code: "CANCELLED",
      });
    });
  });
});

describe("a program whose request waits to be sent again", () => {
  it("goes on until that is over, and ends when it stops asking", async () => {
    const script = `
      const { MemoryBroker } = await import("./src/index.ts");
      const { RequestReply } = await import("./src/service/patterns.ts");
      const asking = new RequestReply(new MemoryBroker());
      asking.setRetry({ attempts: 2, delay: 20 });
      console.log(await asking.request("nobody", 1).catch(({ code }) => code));
      await asking[Symbol.asyncDispose]();`;

    const ran = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: ROOT });

    expect(ran).toMatchObject({ code: 0, stdout: "NO_RESPONDER\n", stderr: "" });
  });
});
