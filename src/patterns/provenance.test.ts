import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { world } from "../../test/support/agents.ts";
import { FileBroker } from "../brokers/file/broker.ts";
import type { Broker } from "../core/broker.ts";
import type { Envelope } from "../core/envelope.ts";
import { verifyConversation } from "../service/guards.ts";
import { MessagingService } from "../service/service.ts";
import { settlePromises } from "../testing/fake-clock.ts";
import { sealOf } from "./provenance.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Three steps, each caused by the one before, in conversation `t`. */
async function talk(more: { readonly provenance?: boolean; readonly compression?: "gzip" } = {}) {
  const { broker, clock, agent } = world();
  const service = await agent("a", { provenance: true, ...more });
  for (const n of [0, 1])
    await service.subscribe(`step.${n}`, ({ payload }) =>
      service.publish(`step.${n + 1}`, [payload, n], { headers: { n: String(n) } }),
    );
  await service.publish("step.0", { b: 1, a: "ä" }, { correlationId: "t", budget: { hops: 9 } });
  await service.publish("step.0", "another", { correlationId: "u" });
  for (let turn = 0; turn < 10; turn++) await settlePromises();
  return { broker, clock, service, ids: await idsOf(broker) };
}

async function stored(broker: Broker, channel: string): Promise<Writable<Envelope>> {
  const all = await (broker.admin as NonNullable<Broker["admin"]>).browse(channel, { limit: 10 });
  return all.find(({ envelope }) => envelope.correlationId === "t")?.envelope as Writable<Envelope>;
}

async function idsOf(broker: Broker): Promise<string[]> {
  return Promise.all([0, 1, 2].map(async (n) => (await stored(broker, `step.${n}`)).id));
}

describe("provenance", () => {
  it("is the SHA-256 of the RFC 8785 bytes of the message, with the hash of its cause", async () => {
    const { broker, service, ids } = await talk();
    const [first, second] = [await stored(broker, "step.0"), await stored(broker, "step.1")];
    const time = new Date(first.time).toISOString();
    // Written out by hand: names in order, no spaces, no escape for a letter.
    const bytes =
      `{"attributes":{"correlationid":"t","datacontenttype":"application/json","id":"${ids[0]}","source":"a",` +
      `"specversion":"1.0","time":"${time}","type":"herald.message"},"channel":"step.0","headers":{},"payload":{"a":"ä","b":1}}`;
    const hash = createHash("sha256").update(bytes).digest("hex");
    expect(first.provenance).toBe(`sha256=${hash}`);
    expect(second.provenance).toMatch(new RegExp(`^sha256=[0-9a-f]{64};cause=${hash}$`));
    const verified = await verifyConversation(service, "t");
    expect(verified).toEqual({
      ok: true,
      messages: 3,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
  });

  it.each<[string, number, (envelope: Writable<Envelope>) => void]>([
    ["payload", 1, (envelope) => void (envelope.body = Buffer.from('[{"b":2,"a":"ä"},0]'))],
    [
      "one bit of the body",
      2,
      ({ body }) => void (body[body.length - 2] = (body[body.length - 2] as number) ^ 1),
    ],
    ["source", 0, (envelope) => void (envelope.source = "mallory")],
    ["header", 1, (envelope) => void (envelope.headers = { ...envelope.headers, n: "7" })],
    ["channel", 1, (envelope) => void (envelope.channel = "step.9")],
    ["hash", 2, (envelope) => void (envelope.provenance = `sha256=${"0".repeat(64)}`)],
    ["recipient that was not there", 2, (envelope) => void (envelope.to = "mallory")],
  ])("names the first message whose %s was changed", async (_what, at, change) => {
    const { broker, service, ids } = await talk();
    change(await stored(broker, `step.${at}`));
    expect(await service.conversations.verify("t")).toMatchObject({
      ok: false,
      id: ids[at],
      reason: "changed",
    });
    expect(await service.conversations.verify("u")).toMatchObject({ ok: true, messages: 3 });
  });

  it("names a message that was changed and given a new hash, by what it caused", async () => {
    const { broker, service, ids } = await talk();
    const first = await stored(broker, "step.0");
    first.body = Buffer.from("{}");
    first.provenance = sealOf(first, undefined);
    expect(await service.conversations.verify("t")).toEqual({
      ok: false,
      id: ids[0],
      channel: "step.0",
      reason: "changed",
    });
  });

  it("names one that is gone, and one that has no hash", async () => {
    const { broker, service, ids } = await talk();
    const { admin } = broker;
    const [kept] = (await admin.browse("step.1", { limit: 10 })).filter(
      ({ envelope }) => envelope.id === ids[1],
    );
    await admin.erase("step.1", [kept?.position ?? ""]);
    expect(await service.conversations.verify("t")).toEqual({
      ok: false,
      id: ids[1],
      channel: undefined,
      reason: "missing",
    });
    (await stored(broker, "step.0")).provenance = undefined;
    expect(await service.conversations.verify("t")).toMatchObject({ id: ids[0], reason: "unsealed" });
  });

  it("is not there unless it is asked for, and an author's own is kept", async () => {
    const { broker, service } = await talk({ provenance: false });
    expect((await stored(broker, "step.1")).provenance).toBeUndefined();
    await service.publish("own", 1, { correlationId: "t", provenance: "signed by me" });
    expect((await stored(broker, "own")).provenance).toBe("signed by me");
  });

  it("holds for compressed bodies, and for copies in the dead letters that come back", async () => {
    const { broker, service } = await talk({ compression: "gzip" });
    let fails = true;
    await service.subscribe(
      "step.2",
      () => {
        if (fails) throw Object.assign(new Error("no"), {});
      },
      { retry: { maxAttempts: 1 } },
    );
    await service.publish("step.2", "x".repeat(5000), { correlationId: "t", ttlSeconds: 1000 });
    await settlePromises();
    fails = false;
    expect(await service.deadLetters.redrive()).toBe(1);
    await settlePromises();
    expect(await service.conversations.verify("t")).toMatchObject({ ok: true });
    expect((await stored(broker, "step.2")).provenance).toMatch(/^sha256=/);
  });

  it("survives the disk: another process of a file broker verifies what this one published", async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "herald-provenance-"));
    const services: MessagingService[] = [];
    onTestFinished(async () => {
      for (const service of services) await service.stop({ gracePeriodMs: 0 });
      rmSync(directory, { recursive: true, force: true });
    });
    const open = async (agentId: string): Promise<MessagingService> => {
      const service = new MessagingService({
        agentId,
        broker: new FileBroker({ directory }),
        provenance: true,
      });
      services.push(service);
      await service.start();
      return service;
    };
    const [a, b] = [await open("a"), await open("b")];
    await a.subscribe("in", ({ payload }) =>
      a.publish("out", payload, { headers: { Tenant: "t" }, priority: 10 }),
    );
    await b.publish("in", { n: 1.5, text: "ä" }, { correlationId: "t", ttlSeconds: 60, partitionKey: "k" });
    await expect.poll(() => b.conversations.verify("t")).toMatchObject({ ok: true, messages: 2 });
  });
});
