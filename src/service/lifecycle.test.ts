import { describe, expect, it } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { MessagingService } from "./service.ts";

const CLOSED = expect.objectContaining({ code: "CLOSED" });

describe("the life of a service", () => {
  it("starts once, however often it is asked, and again after a stop", async () => {
    const service = new MessagingService({ agentId: "a", broker: new MemoryBroker(), closeBroker: false });

    await Promise.all([service.start(), service.start()]);
    expect(service.isRunning).toBe(true);
    const stopping = service.stop();
    await Promise.all([stopping, service.stop(), service.start()]);

    expect(service.isRunning).toBe(true);
    await service.stop();
    expect(service.isRunning).toBe(false);
  });

  it("rejects everything with CLOSED before its start and after its stop", async () => {
    const service = new MessagingService({ agentId: "a" });

    await expect(service.publish("x", 1)).rejects.toEqual(CLOSED);
    await expect(service.request("x", 1)).rejects.toEqual(CLOSED);
    await expect(service.subscribe("x", () => {})).rejects.toEqual(CLOSED);
    expect(() => service.deadLetters).toThrow(CLOSED);
    await service.start();
    await service.stop();
    await expect(service.publish("x", 1)).rejects.toEqual(CLOSED);
    expect((await service.getHealth()).status).toBe("unhealthy");
  });

  it("a second stop waits for the first, and unsubscribing twice for the one drain", async () => {
    const service = new MessagingService({ agentId: "a" });
    await service.start();
    let ended = false;
    let release = (): void => {};
    const started = Promise.withResolvers<void>();
    const subscription = await service.subscribe("x", async () => {
      started.resolve();
      await new Promise<void>((resolve) => (release = resolve));
      ended = true;
    });
    await service.publish("x", 1);
    await started.promise;

    const first = subscription.unsubscribe();
    const second = subscription.unsubscribe().then(() => ended);
    release();

    expect(await second).toBe(true);
    await first;
    await Promise.all([service.stop(), service.stop()]);
  });

  it("services that share a broker object open it once, and the last to stop closes it", async () => {
    const broker = new MemoryBroker();
    const [one, two] = ["one", "two"].map((agentId) => new MessagingService({ agentId, broker })) as [
      MessagingService,
      MessagingService,
    ];
    await Promise.all([one.start(), two.start()]);

    await one.stop();
    expect(broker.isClosed).toBe(false);
    await two.publish("x", 1);
    await two.stop();

    expect(broker.isClosed).toBe(true);
  });

  it("a manifest that names a function which nobody gave refuses to start, and leaves the broker closed", async () => {
    const broker = new MemoryBroker();
    const messaging = { subscribes: [{ channel: "x", handler: "onX" }] };
    const service = new MessagingService({ agentId: "a", broker, messaging, handlers: { onY: () => {} } });

    await expect(service.start()).rejects.toThrow(
      "There is no function 'onX' for the subscription to 'x' of agent 'a'",
    );
    expect(broker.isClosed).toBe(true);
  });

  it("two handlers of one agent on overlapping patterns each get every message", async () => {
    await using service = new MessagingService({ agentId: "a" });
    await service.start();
    const got: string[] = [];
    const first = await service.subscribe(
      "orders.created",
      (message) => void got.push(`exact ${String(message.payload)}`),
    );
    const second = await service.subscribe(
      "orders.*",
      (message) => void got.push(`all ${String(message.payload)}`),
    );
    expect([first.group, second.group]).toEqual(["a", "a:2"]);

    await service.publish("orders.created", 1);
    await expect.poll(() => got.toSorted()).toEqual(["all 1", "exact 1"]);
  });

  it("a loop over consume ends with the service, and what it had not settled waits for the next", async () => {
    const broker = new MemoryBroker();
    const service = new MessagingService({ agentId: "a", broker, closeBroker: false });
    await service.start();
    const seen: unknown[] = [];
    const loop = (async () => {
      for await (const { message } of service.consume("jobs")) seen.push(message.payload);
    })();
    await expect.poll(() => service.listSubscriptions().length).toBe(1);
    await service.publish("jobs", 1);
    await expect.poll(() => seen).toEqual([1]);

    await service.stop();
    await loop;

    const next = new MessagingService({ agentId: "a", broker });
    await next.start();
    const attempts: number[] = [];
    await next.subscribe("jobs", (_message, context) => void attempts.push(context.attempt));
    await expect.poll(() => attempts).toEqual([1]);
    await next.stop();
  });

  it("a loop over consume that is left gives back what it had taken", async () => {
    await using service = new MessagingService({ agentId: "a" });
    await service.start();
    const taken: unknown[] = [];
    const loop = (async () => {
      for await (const consumed of service.consume("jobs")) {
        taken.push(consumed.message.payload);
        if (taken.length === 1) consumed.ack();
        else break;
      }
    })();
    await expect.poll(() => service.listSubscriptions().length).toBe(1);
    await service.publish("jobs", 1);
    await service.publish("jobs", 2);
    await loop;

    expect(taken).toEqual([1, 2]);
    expect(await service.getConsumerLag({ channel: "jobs" })).toEqual([
      { channel: "jobs", group: "a", lag: 1, unsettled: 0 },
    ]);
  });
});

describe("subscriptions that a manifest binds", () => {
  it("to one channel each keep their own filter", async () => {
    const got: string[] = [];
    const subscribes = ["high", "low"].map((severity) => ({
      channel: "alarms.raised",
      handler: severity,
      filter: { fields: { severity } },
    }));
    const handlers = {
      high: (message: { payload: { n: number } }) => void got.push(`high ${message.payload.n}`),
      low: (message: { payload: { n: number } }) => void got.push(`low ${message.payload.n}`),
    };
    await using service = new MessagingService({ agentId: "a", messaging: { subscribes }, handlers });
    await service.start();

    await service.publish("alarms.raised", { n: 1, severity: "high" });
    await service.publish("alarms.raised", { n: 2, severity: "low" });

    await expect.poll(() => got.toSorted()).toEqual(["high 1", "low 2"]);
  });
});
