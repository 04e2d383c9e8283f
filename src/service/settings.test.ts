import { describe, expect, it } from "vitest";
import { silentLogger } from "../core/logger.ts";
import type { Handler } from "../core/middleware.ts";
import { world } from "../../test/support/agents.ts";
import { DeliveryGuarantee, type MessagingServiceOptions } from "./options.ts";
import { MessagingService } from "./service.ts";
import { settingsOf } from "./settings.ts";

describe("the options of a service", () => {
  it.each<[field: string, options: object]>([
    ...[undefined, null, 7, "", "a.b", "a b", "x".repeat(101)].map((agentId): [string, object] => [
      "agentId",
      { agentId },
    ]),
    ...["maxConcurrency", "prefetch"].flatMap((name) =>
      [0, -1, 1.5, Infinity, Number.NaN, "5"].map((value): [string, object] => [name, { [name]: value }]),
    ),
    ...[
      "handlerTimeoutMs",
      "publishTimeoutMs",
      "maxPendingPublishes",
      "gracePeriodMs",
      "stalledAfterMs",
    ].flatMap((name) => [0, -1, Number.NaN, "5"].map((value): [string, object] => [name, { [name]: value }])),
    ["defaultDeliveryGuarantee", { defaultDeliveryGuarantee: "delivered-once" }],
    ["dlq.channel", { dlq: { channel: "dead letters" } }],
    ["dlq.channel", { dlq: { channel: "dlq.*" } }],
    ["dlq.channel", { dlq: { channel: 7 } }],
    ["dlq.retentionDays", { dlq: { retentionDays: 0 } }],
    ["dlq.retentionDays", { dlq: { retentionDays: "7" } }],
    ["retry.maxAttempts", { retry: { maxAttempts: 1.5 } }],
    ["retry.backoff.multiplier", { retry: { backoff: { multiplier: 0.5 } } }],
    ["limits.maxMessageBytes", { limits: { maxMessageBytes: -1 } }],
    ["limits.maxHops", { limits: { maxHops: Number.NaN } }],
    ["limits.maxDepth", { limits: { maxDepth: "deep" } }],
    ["broker", { broker: 7 }],
    ["broker", { broker: { open: () => {} } }],
    ["logger", { logger: { info: () => {} } }],
    ["clock", { clock: { now: () => 0 } }],
    ["inbox", { inbox: {} }],
  ])("are checked: %s in %o is INVALID_ARGUMENT naming it", (field, options) => {
    expect(() => new MessagingService({ agentId: "a", ...options } as MessagingServiceOptions)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: expect.stringContaining(field) as string,
        details: expect.objectContaining({ field }) as object,
      }),
    );
  });

  it("that are none at all miss their agentId", () => {
    for (const options of [undefined, null, 7]) {
      expect(() => new MessagingService(options as never)).toThrow(/^agentId must be/);
    }
  });

  it("take limits of 0 and times without end", () => {
    const { limits, handlerTimeoutMs } = settingsOf({
      agentId: "a",
      limits: { maxHops: 0 },
      handlerTimeoutMs: Infinity,
    });

    expect(limits).toMatchObject({ maxHops: 0, maxDepth: 64 });
    expect(handlerTimeoutMs).toBe(Infinity);
  });

  it("have the documented defaults", () => {
    const { broker, clock, inbox, ...settings } = settingsOf({ agentId: "a" });

    expect(settings).toEqual({
      agentId: "a",
      agentName: "a",
      messaging: { publishes: [], subscribes: [], commands: [], reliability: {} },
      handlers: undefined,
      closeBroker: true,
      guarantee: "at-least-once",
      retry: {},
      deadLetterChannel: "dlq.a",
      deadLetterRetentionMs: 7 * 86_400_000,
      manualAck: false,
      ordering: "relaxed",
      defaultKey: undefined,
      maxConcurrency: 10,
      prefetch: 100,
      handlerTimeoutMs: 300_000,
      publishTimeoutMs: 30_000,
      maxPendingPublishes: 100_000,
      gracePeriodMs: 10_000,
      stalledAfterMs: 90_000,
      strict: true,
      limits: {
        maxMessageBytes: 1_048_576,
        maxDecompressedBytes: 1_048_576,
        maxHeaderBytes: 65_536,
        maxDepth: 64,
        maxHops: 32,
      },
      codecs: { byPattern: [], byChannel: new Map(), otherwise: {} },
      breakers: {},
      budget: undefined,
      stoppable: true,
      provenance: false,
      effects: { leaseMs: 10_000, retentionMs: 30 * 86_400_000, stores: undefined },
      hasOwnInbox: false,
      routing: undefined,
      logger: silentLogger,
    });
    expect([broker().name, typeof clock.now, typeof inbox]).toEqual(["memory", "function", "function"]);
  });
});

describe("the manifest's reliability", () => {
  const reliability = {
    deliveryGuarantee: "exactly-once",
    retry: { maxAttempts: 7, backoff: { strategy: "linear", initialDelayMs: 5 } },
    dlq: { channel: "failures.all", retentionDays: 2 },
    acknowledgment: { mode: "manual", timeoutSeconds: 60 },
  };

  it("is what holds where the options say nothing", () => {
    expect(settingsOf({ agentId: "a", messaging: { reliability } })).toMatchObject({
      guarantee: DeliveryGuarantee.EXACTLY_ONCE,
      retry: { maxAttempts: 7, backoff: { strategy: "linear", initialDelayMs: 5 } },
      deadLetterChannel: "failures.all",
      deadLetterRetentionMs: 2 * 86_400_000,
      manualAck: true,
      handlerTimeoutMs: 60_000,
    });
  });

  it("gives way to the options, field by field", () => {
    expect(
      settingsOf({
        agentId: "a",
        agentName: "The first",
        messaging: { reliability },
        defaultDeliveryGuarantee: "at-most-once",
        retry: { maxAttempts: 2 },
        dlq: { retentionDays: 3 },
        handlerTimeoutMs: 1,
      }),
    ).toMatchObject({
      agentName: "The first",
      guarantee: "at-most-once",
      retry: { maxAttempts: 2, backoff: { strategy: "linear", initialDelayMs: 5 } },
      deadLetterChannel: "failures.all",
      deadLetterRetentionMs: 3 * 86_400_000,
      handlerTimeoutMs: 1,
    });
  });

  it("can switch dead letters off", () => {
    expect(
      settingsOf({ agentId: "a", messaging: { reliability: { dlq: { enabled: false } } } }),
    ).toMatchObject({
      deadLetterChannel: undefined,
    });
  });

  it("that is none is INVALID_MANIFEST, naming the place", () => {
    const messaging = { reliability: { deliveryGuarantee: "delivered-once" } };

    expect(() => settingsOf({ agentId: "a", messaging })).toThrow(
      expect.objectContaining({
        code: "INVALID_MANIFEST",
        details: expect.objectContaining({ path: "messaging.reliability.deliveryGuarantee" }) as object,
      }),
    );
    expect(() => settingsOf({ agentId: "a", messaging: 7 as never })).toThrow(
      expect.objectContaining({ code: "INVALID_MANIFEST" }),
    );
  });

  it("asks for manual acknowledgment of every subscription but those that say auto", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging: { reliability } });
    await service.subscribe("x", () => {});
    await service.subscribe("y", () => {}, { ack: "auto" });

    for (const channel of ["x", "y"]) await service.publish(channel, 1);

    const rows = async () =>
      (await service.getConsumerLag({ group: "a" })).map(({ channel, lag }) => [channel, lag]);
    await expect.poll(rows).toEqual([
      ["x", 1],
      ["y", 0],
    ]);
  });
});

describe("an order that the manifest asks for", () => {
  const failing = (got: unknown[]): Handler => {
    return (message, context) => {
      got.push(`${message.source} ${String(message.payload)}`);
      if (message.payload === 1 && context.attempt === 1) throw new Error("again");
    };
  };

  it("per source: a retry holds back what the same agent published, and no other's", async () => {
    const { agent, clock } = world();
    const messaging = { reliability: { ordering: { guarantee: "per-source" } } };
    const [a, b] = [await agent("a", { messaging }), await agent("b", { messaging })];
    const got: unknown[] = [];
    await a.subscribe("x", failing(got));

    for (const n of [1, 2]) await a.publish("x", n);
    await b.publish("x", 3);
    await clock.advanceAsync(1000);

    expect(got).toEqual(["a 1", "b 3", "a 1", "a 2"]);
  });

  it("per channel: a retry holds back everything on the channel, and nothing on another", async () => {
    const { agent, clock } = world();
    const messaging = { reliability: { ordering: { guarantee: "per-channel" } } };
    const [a, b] = [await agent("a", { messaging }), await agent("b", { messaging })];
    const got: unknown[] = [];
    for (const channel of ["x", "y"]) await a.subscribe(channel, failing(got));

    await a.publish("x", 1);
    await b.publish("x", 2);
    await b.publish("y", 3);
    await clock.advanceAsync(1000);

    expect(got).toEqual(["a 1", "b 3", "a 1", "b 2"]);
  });

  it("is the author's own key's where a publish names one", async () => {
    const { agent, clock } = world();
    const messaging = { reliability: { ordering: { guarantee: "per-channel" } } };
    const service = await agent("a", { messaging });
    const got: unknown[] = [];
    await service.subscribe("x", failing(got));

    await service.publish("x", 1, { partitionKey: "one" });
    await service.publish("x", 2, { partitionKey: "two" });
    await clock.advanceAsync(1000);

    expect(got).toEqual(["a 1", "a 2", "a 1"]);
  });

  it("of none: a retry is overtaken", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { messaging: { reliability: { ordering: { guarantee: "none" } } } });
    const got: unknown[] = [];
    await service.subscribe("x", failing(got));

    for (const n of [1, 2]) await service.publish("x", n);
    await clock.advanceAsync(1000);

    expect(got).toEqual(["a 1", "a 2", "a 1"]);
  });

  it("over all channels is UNSUPPORTED, naming the field and what there is", () => {
    const messaging = { reliability: { ordering: { guarantee: "global" } } };

    expect(() => new MessagingService({ agentId: "a", messaging })).toThrow(
      expect.objectContaining({
        code: "UNSUPPORTED",
        message: expect.stringContaining("use per-channel or per-source") as string,
        details: { field: "reliability.ordering.guarantee" },
      }),
    );
  });
});
