import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { PubSub } from "./patterns.ts";
import { MessageRouter } from "./routing.ts";
import { MessagingService } from "./service.ts";

function message(channel: string, payload: unknown = null): Message {
  const metadata = { priority: 50, retryCount: 0, contentType: "application/json" };
  return { id: "1", timestamp: "2026-01-01T00:00:00.000Z", source: "a", channel, payload, metadata };
}

async function started(agentId: string, broker: MemoryBroker): Promise<MessagingService> {
  const service = new MessagingService({ agentId, broker, retry: { backoff: { initialDelayMs: 1 } } });
  await service.start();
  onTestFinished(async () => void (await service.stop()));
  return service;
}

describe("handle()", () => {
  it("runs every route that covers the channel, in the order in which they were added, and no other", async () => {
    const got: string[] = [];
    const router = new MessageRouter(new MemoryBroker())
      .route({ pattern: "user.*", handler: () => got.push("star") })
      .route({ pattern: "order.*", handler: () => got.push("order") })
      .route({ pattern: "user.created", handler: () => got.push("name") })
      .route({ pattern: "user.#", handler: () => got.push("rest") });
    await router.handle(message("user.created"));
    expect(got).toEqual(["star", "name", "rest"]);
    await router.handle(message("user.created.eu"));
    expect(got.slice(3)).toEqual(["rest"]);
    await expect(router.handle(message("nobody.here"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("gives a message by hand no broker's abilities, and says so", async () => {
    const codes: unknown[] = [];
    const router = new MessageRouter(new MemoryBroker()).route({
      pattern: "a",
      handler: async (_, context) => {
        const calls = [
          () => context.spend({ tokens: 1 }),
          () => context.effect("e", "1", () => 1),
          () => context.tx,
        ];
        for (const call of calls)
          await (async () => call())().catch((error: { code: string }) => codes.push(error.code));
      },
    });
    await router.handle(message("a"));
    expect(codes).toEqual(["UNSUPPORTED", "UNSUPPORTED", "UNSUPPORTED"]);
  });

  it("puts the router's middlewares around a route's own, and also around routes that were there before", async () => {
    const trace: string[] = [];
    const router = new MessageRouter(new MemoryBroker()).route({
      pattern: "a",
      handler: ({ payload }) => trace.push(String(payload)),
      middleware: [(_message, next) => (trace.push("own"), next())],
    });
    await router.handle(message("a", 1));
    router.use((_message, next) => (trace.push("shared"), next()));
    await router.handle(message("a", 2));
    expect(trace).toEqual(["own", "1", "shared", "own", "2"]);
  });

  it("runs the others when a route fails, and tells of all failures", async () => {
    const got: string[] = [];
    const failing = (text: string) => () => {
      throw new HeraldError("HANDLER_FAILED", text);
    };
    const router = new MessageRouter(new MemoryBroker())
      .route({ pattern: "a", handler: failing("first") })
      .route({ pattern: "a", handler: () => got.push("ran") });
    await expect(router.handle(message("a"))).rejects.toMatchObject({ message: "first" });
    router.route({ pattern: "*", handler: failing("last") });
    await expect(router.handle(message("a"))).rejects.toMatchObject({
      errors: [{ message: "first" }, { message: "last" }],
    });
    expect(got).toEqual(["ran", "ran"]);
  });

  it("forgets the routes that are removed", async () => {
    const got: string[] = [];
    const router = new MessageRouter(new MemoryBroker())
      .route({ pattern: "a", handler: () => got.push("a") })
      .route({ pattern: "*", handler: () => got.push("*") })
      .removeRoute("a")
      .removeRoute("never.there");
    await router.handle(message("a"));
    expect(got).toEqual(["*"]);
    expect(router.clearRoutes().size).toBe(0);
    await expect(router.handle(message("a"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("refuses a pattern that is none and handlers and middlewares that are no functions, and adds nothing", () => {
    const router = new MessageRouter(new MemoryBroker());
    const handler = (): void => undefined;
    const codeOf = (act: () => unknown): unknown => {
      try {
        return act();
      } catch (error) {
        return (error as HeraldError).code;
      }
    };
    expect(codeOf(() => router.route({ pattern: "a..b", handler }))).toBe("INVALID_CHANNEL");
    expect(codeOf(() => router.route({ pattern: "a", handler: "x" as never }))).toBe("INVALID_ARGUMENT");
    expect(codeOf(() => router.route({ pattern: "a", handler, middleware: [1 as never] }))).toBe(
      "INVALID_ARGUMENT",
    );
    expect(codeOf(() => router.use(undefined as never))).toBe("INVALID_ARGUMENT");
    expect(router.size).toBe(0);
  });
});

describe("a router that is started", () => {
  it("gets what is published, over a service: each route retries for itself, and a handler's result is the reply", async () => {
    const broker = new MemoryBroker();
    const [service, asker] = [await started("router", broker), await started("asker", broker)];
    const trace: string[] = [];
    let fails = 1;
    const router = new MessageRouter(service)
      .use(async (_message, next) => {
        await next();
        trace.push("through");
      })
      .route<number[]>({ pattern: "ask.*", handler: ({ payload }) => payload.reduce((a, b) => a + b) })
      .route({ pattern: "sum.*", handler: () => trace.push("summed") })
      .route({
        pattern: "sum.#",
        handler: () => {
          trace.push("counted");
          if (fails-- > 0) throw new Error("not yet");
        },
      });
    await router.start();
    await asker.publish("sum.up", [1, 2, 3]);
    await expect.poll(() => trace.toSorted()).toEqual(["counted", "counted", "summed", "through", "through"]);
    expect(await asker.request("ask.sum", [1, 2, 3])).toBe(6);
  });

  it("subscribes with the next start() what was added since, and nothing twice", async () => {
    const broker = new MemoryBroker();
    await using router = new MessageRouter(broker);
    await using topics = new PubSub(broker);
    const got: string[] = [];
    router.route({ pattern: "a", handler: () => got.push("a") });
    await router.start();
    router.route({ pattern: "b", handler: () => got.push("b") });
    await Promise.all([router.start(), router.start()]);
    await topics.publish("a", 1);
    await topics.publish("b", 1);
    await expect.poll(() => got.toSorted()).toEqual(["a", "b"]);
  });

  it("starts no handler of a route that is removed, and what waits for it stays with its group", async () => {
    const broker = new MemoryBroker();
    const service = await started("router", broker);
    const got: string[] = [];
    const router = new MessageRouter(service)
      .route({ pattern: "a", handler: () => got.push("gone") })
      .route({ pattern: "b", handler: () => got.push("b") });
    await router.start();
    router.removeRoute("a");
    await service.publish("a", 1);
    await service.publish("b", 1);
    await expect.poll(() => got).toEqual(["b"]);
    await router.stop();
    expect(service.listSubscriptions()).toEqual([]);
    expect(await service.getConsumerLag({ channel: "a" })).toMatchObject([{ group: "router", lag: 1 }]);
  });

  it("subscribes no route that was removed while the broker was asked", async () => {
    const broker = new MemoryBroker();
    const service = await started("router", broker);
    const router = new MessageRouter(service).route({ pattern: "a", handler: () => undefined });
    const starting = router.start();
    router.removeRoute("a");
    await starting;
    await router.stop();
    expect(service.listSubscriptions()).toEqual([]);
  });
});
