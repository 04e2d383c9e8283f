import { describe, expect, it } from "vitest";
import type { Message } from "../core/message.ts";
import { world } from "../../test/support/agents.ts";

describe("isolation", () => {
  it("an asker that changes its payload afterwards asks what it asked, also with the first request of a service", async () => {
    const { agent } = world();
    const service = await agent("a");
    await service.subscribe("x", (message) => message.payload);
    const payload = { n: 1 };

    const asked = service.request("x", payload);
    payload.n = 2;
    await expect(asked).resolves.toEqual({ n: 1 });

    const again = service.request("x", payload);
    payload.n = 3;
    await expect(again).resolves.toEqual({ n: 2 });
  });

  it("a publisher that changes its payload afterwards changes nobody's", async () => {
    const { agent } = world();
    const service = await agent("a", {
      messaging: { publishes: [{ channel: "x", schema: { type: "object" } }] },
    });
    const got: unknown[] = [];
    for (let n = 0; n < 2; n++) await service.subscribe("x", (message) => void got.push(message.payload));
    const payload = { list: [1], bytes: "kept" };
    const headers = { tag: "first" };

    const published = service.publish("x", payload, { headers });
    payload.list.push(2);
    headers.tag = "second";
    await published;

    await expect
      .poll(() => got)
      .toEqual([
        { list: [1], bytes: "kept" },
        { list: [1], bytes: "kept" },
      ]);
  });

  it("a handler that changes its message changes neither another's, nor its own retry, nor the dead letter", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { retry: { maxAttempts: 2, backoff: { initialDelayMs: 10 } } });
    const seen: string[] = [];
    const spoil = (message: Message, reader: string): void => {
      seen.push(`${reader} ${JSON.stringify(message.payload)} ${message.metadata.headers?.["tag"]}`);
      (message.payload as { n: number }).n = 99;
      (message.metadata.headers as Record<string, string>)["tag"] = "spoilt";
    };
    await service.subscribe("x", (message, context) => {
      spoil(message, "one");
      context.body.fill(0);
      throw new Error("no");
    });
    await service.subscribe("x", (message) => spoil(message, "two"));

    await service.publish("x", { n: 1 }, { headers: { tag: "as sent" } });
    await expect.poll(() => seen.length).toBe(2);
    await clock.advanceAsync(10);

    await expect.poll(() => seen).toEqual(["one", "two", "one"].map((reader) => `${reader} {"n":1} as sent`));
    await expect.poll(async () => (await service.deadLetters.list()).length).toBe(1);
    const [letter] = await service.deadLetters.list();
    expect(letter?.message).toMatchObject({ payload: { n: 1 }, metadata: { headers: { tag: "as sent" } } });
    expect(Buffer.from(letter?.body ?? []).toString()).toBe('{"n":1}');
  });
});
