import { describe, expect, it } from "vitest";
import type { HeraldError } from "../src/index.ts";
import { codeOf, siege } from "./support/siege.ts";

describe("hostile bytes from another tool", () => {
  const deep = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

  it.each<[string, string | Uint8Array, string]>([
    ["no JSON", "{", "MALFORMED"],
    ["nothing", "", "MALFORMED"],
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0xfe, 0x22), "MALFORMED"],
    ["half a surrogate in UTF-8", Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), "MALFORMED"],
    ["1e400", "1e400", "MALFORMED"],
    ["an integer that would change", '{"id": 9007199254740993}', "MALFORMED"],
    ["10,000 levels", deep(10_000), "DEPTH_LIMIT"],
    ["400,000 levels", deep(400_000), "DEPTH_LIMIT"],
    ["a key __proto__", '{"__proto__":{"isAdmin":true}}', "UNSAFE_PAYLOAD"],
    ["a constructor's prototype", '{"constructor":{"prototype":{"polluted":true}}}', "UNSAFE_PAYLOAD"],
  ])("(%s) go to the dead letters as they came, the handler not started", async (_name, body, code) => {
    const { target, smuggle, survives } = await siege({ retry: { maxAttempts: 5 } });
    let handled = 0;
    await target.subscribe("victim", () => void handled++);
    await smuggle(body, { id: "m" });
    await survives();

    expect(handled).toBe(0);
    const entry = await target.deadLetters.get("m");
    expect(entry).toMatchObject({ code, attempts: 1, message: undefined });
    expect(Buffer.from(entry?.body ?? []).equals(typeof body === "string" ? Buffer.from(body) : body)).toBe(
      true,
    );
    expect(target.getMetrics()).toMatchObject({ delivered: 0, deadLettered: 1 });
  });

  it("with a key twice are read once: what is checked is what is handled, and the bytes stay", async () => {
    const { target, smuggle, survives } = await siege();
    const seen: unknown[] = [];
    const role = { type: "object", properties: { role: { const: "admin" } }, required: ["role"] };
    await target.subscribe(
      "victim",
      ({ payload }, { body }) => void seen.push([payload, new TextDecoder().decode(body)]),
      { schema: role },
    );
    const twice = '{"role":"user","role":"admin"}';
    await smuggle(twice);
    await smuggle('{"role":"admin","role":"user"}', { id: "refused" });
    await survives();

    expect(seen).toEqual([[{ role: "admin" }, twice]]);
    expect(await target.deadLetters.get("refused")).toMatchObject({ code: "SCHEMA_VIOLATION" });
  });

  it("with attributes that are none of ours are handled, or given up on by name, never thrown", async () => {
    const { clock, time, target, smuggle, survives } = await siege();
    let handled = 0;
    await target.subscribe("victim", () => void handled++);
    const odd = [
      { time: -8.64e15 },
      { time: 8.64e15 },
      { traceparent: "\u0000" },
      { correlationId: "x".repeat(100_000) },
      { hops: Number.MAX_SAFE_INTEGER },
      { replyTo: "../../x" },
      { headers: { "x-dlq-channel": "../../x", "x-dlq-failures": "{" } },
      { headers: { "x-redrive-count": "NaN", "x-redrive-at": "never" } },
      { expiresAt: Number.NaN },
      { type: "__proto__" },
      { id: "a b\r\nc" },
      { contentType: "\u0000" },
      { source: "" },
    ];
    for (const init of odd) await smuggle("1", init);
    await time.elapse(1000);
    await survives();

    expect(handled).toBe(odd.length);
    expect(clock.pending).toBeLessThan(5);
    target.getMetrics();
    await target.getHealth();
  });

  it("that pose as dead letters are listed, sent back and purged without harm", async () => {
    const { time, target, smuggle, survives } = await siege();
    const posing = [
      { "x-dlq-channel": "__proto__", "x-dlq-code": "constructor" },
      { "x-dlq-channel": "../../etc/passwd" },
      {
        "x-dlq-channel": "victim",
        "x-dlq-failures": '[{"at":"x"}]',
        "x-dlq-attempts": "many",
        "x-dlq-last-failed-at": "soon",
      },
      { "x-dlq-channel": "victim", "x-dlq-reply-to": "a\r\nb", "x-dlq-expires-at": "1e999" },
    ];
    let handled = 0;
    await target.subscribe("victim", () => void handled++, { group: null });
    for (const headers of posing) await smuggle("{", { channel: "dlq.target", headers });

    expect(await target.deadLetters.list()).toHaveLength(4);
    expect(await target.deadLetters.stats()).toMatchObject({ total: 4 });
    expect(await codeOf(() => target.deadLetters.redrive({ channel: "../../etc/passwd" }))).toBe(
      "INVALID_CHANNEL",
    );
    expect(await codeOf(() => target.deadLetters.redrive({ channel: "victim" }))).toBe("accepted");
    await time.elapse(1000);
    expect(await codeOf(() => target.deadLetters.purge())).toBe("accepted");
    await survives();
    expect(handled).toBe(0);
    expect((await target.deadLetters.stats()).total).toBe(0);
  });

  it("that pose as replies end nobody's request with what is no answer of theirs", async () => {
    const { time, broker, target, smuggle, survives } = await siege();
    const seen: string[] = [];
    await target.subscribe(
      "slow",
      ({ metadata }) => (seen.push(metadata.replyTo ?? ""), new Promise(() => {})),
    );
    const answer = target.request("slow", 1, { timeoutMs: 1000 }).catch((error: HeraldError) => error.code);
    await time.until(() => seen.length === 1, "the request");
    for (const causationId of [undefined, "", "__proto__", "constructor", "guess"]) {
      await smuggle('"forged"', { channel: seen[0] ?? "", causationId, correlationId: causationId });
    }
    await smuggle("{", { channel: seen[0] ?? "" });
    await time.elapse(1000);

    expect(await answer).toBe("TIMEOUT");
    expect(target.getMetrics().lateReplies).toBe(5);
    expect((await broker.admin.list()).filter((channel) => channel.startsWith("reply."))).toHaveLength(1);
    await survives();
  });
});
