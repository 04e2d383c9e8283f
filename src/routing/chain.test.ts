import { describe, expect, it } from "vitest";
import type { Message } from "../core/message.ts";
import { MiddlewareChain, type MessageMiddleware } from "./chain.ts";

const MESSAGE: Message = {
  id: "1",
  timestamp: "2026-01-01T00:00:00.000Z",
  source: "a",
  channel: "user.created",
  payload: null,
  metadata: { priority: 50, retryCount: 0, contentType: "application/json" },
};

function tracing(trace: string[], name: string): MessageMiddleware {
  return async (_message, next) => {
    trace.push(`${name} in`);
    await next();
    trace.push(`${name} out`);
  };
}

describe("a chain of middlewares", () => {
  it("enters them in their order, comes back out in the other, and runs what is last in the middle", async () => {
    const trace: string[] = [];
    const chain = new MiddlewareChain([tracing(trace, "a")]).use(tracing(trace, "b"));
    await chain.execute(MESSAGE, ({ channel }) => trace.push(channel));
    expect(trace).toEqual(["a in", "b in", "user.created", "b out", "a out"]);
  });

  it("ends where a middleware does not call next", async () => {
    const trace: string[] = [];
    const chain = new MiddlewareChain([() => trace.push("stopped"), tracing(trace, "never")]);
    await chain.execute(MESSAGE, () => trace.push("never"));
    expect(trace).toEqual(["stopped"]);
  });

  it("lets a middleware catch what a later one throws, and rejects with what nobody catches", async () => {
    const caught: unknown[] = [];
    const catching: MessageMiddleware = (_message, next) =>
      next().catch((error: unknown) => caught.push(error));
    const throwing: MessageMiddleware = () => {
      throw new Error("broken");
    };
    await new MiddlewareChain([catching, throwing]).execute(MESSAGE);
    expect(caught).toMatchObject([{ message: "broken" }]);
    await expect(new MiddlewareChain([throwing, catching]).execute(MESSAGE)).rejects.toThrow("broken");
  });

  it("refuses a second next, names who called it, and runs what follows once", async () => {
    let runs = 0;
    const twice: MessageMiddleware = async (_message, next) => {
      await next();
      await next();
    };
    await expect(new MiddlewareChain([twice]).execute(MESSAGE, () => runs++)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("Middleware 'twice' called next() twice") as string,
    });
    expect(runs).toBe(1);
  });

  it("forgets what is removed, and one that is not there is no error", async () => {
    const trace: string[] = [];
    const [a, b] = [tracing(trace, "a"), tracing(trace, "b")];
    const chain = new MiddlewareChain([a, b, a]).remove(a).remove(() => undefined);
    await chain.execute(MESSAGE);
    expect(trace).toEqual(["b in", "a in", "a out", "b out"]);
    await chain.remove(a).remove(b).execute(MESSAGE);
    expect(trace).toHaveLength(4);
  });

  it("goes on as it was while it runs, whatever is added meanwhile", async () => {
    const trace: string[] = [];
    const chain = new MiddlewareChain();
    chain.use((_message, next) => {
      chain.use(tracing(trace, "late"));
      return next();
    });
    await chain.execute(MESSAGE);
    expect(trace).toEqual([]);
  });

  it("refuses what is no function", () => {
    expect(() => new MiddlewareChain(["x" as never])).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});
