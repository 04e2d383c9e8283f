import { describe, expect, test, vi } from "vitest";
import type { Handler, HandlerContext, Middleware } from "../core/middleware.ts";
import type { Message } from "../core/message.ts";
import { compose } from "./compose.ts";

const message = { id: "m-1", channel: "a.b" } as Message;
const context = { attempt: 1 } as HandlerContext;

function run(middlewares: readonly Middleware[], handler: Handler): Promise<unknown> {
  return Promise.resolve(compose(middlewares, handler)(message, context));
}

const failing: Handler = () => Promise.reject(new Error("boom"));

const handlesNothing = (): void => {};

/** Waits and returns nothing. */
const quiet: Middleware = async (_m, _c, next) => void (await next());

const double: Middleware = async (_m, _c, next) => Number(await next()) * 2;

const broken: Middleware = () => {
  throw new Error("broken");
};

const answersInstead: Middleware = (_m, _c, next) => next().catch(() => "caught");

const swallows: Middleware = async (_m, _c, next) => {
  try {
    await next();
  } catch {
    // On purpose: a middleware may decide that a failure is none.
  }
};

const forgets: Middleware = (_m, _c, next) => void next();

const forgetsLater: Middleware = async (_m, _c, next) => {
  void next();
  await turns(10);
};

const retrying: Middleware = async (_m, _c, next) => {
  await next();
  await next();
};

/** Resolves after `turns` turns of the microtask queue. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

describe("the onion", () => {
  test("without middlewares the handler itself comes back", () => {
    expect(compose([], handlesNothing)).toBe(handlesNothing);
  });

  test("the first middleware is the outermost, and all see the same message and context", async () => {
    const seen: string[] = [];
    const layer = (name: string): Middleware => {
      return async (m, c, next) => {
        expect(m).toBe(message);
        expect(c).toBe(context);
        seen.push(`${name} in`);
        await next();
        seen.push(`${name} out`);
      };
    };
    await run([layer("a"), layer("b"), layer("c")], () => void seen.push("handler"));
    expect(seen).toEqual(["a in", "b in", "c in", "handler", "c out", "b out", "a out"]);
  });

  test("the list may change afterwards without effect, and one composition serves many messages at once", async () => {
    const middlewares: Middleware[] = [(_m, _c, next) => next()];
    const composed = compose(middlewares, async (m) => {
      await turns(3);
      return m.id;
    });
    middlewares.push(() => "changed");
    const ids = ["m-1", "m-2", "m-3"];
    const results = await Promise.all(ids.map((id) => composed({ ...message, id }, context)));
    expect(results).toEqual(ids);
  });

  test("what is not a function is refused by its place", () => {
    expect(() => compose([(_m, _c, next) => next(), 5 as never], () => 1)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field: "middlewares[1]" } }),
    );
  });
});

describe("results", () => {
  test("the handler's result passes middlewares that return nothing", async () => {
    expect(await run([quiet, quiet], () => "reply")).toBe("reply");
  });

  test("next() gives the inner result, and a middleware's own takes its place", async () => {
    expect(await run([double, double], () => 5)).toBe(20);
    expect(await run([async (_m, _c, next) => (await next(), null)], () => 5)).toBeNull();
  });

  test("a middleware that does not call next() ends the chain", async () => {
    const handler = vi.fn();
    expect(await run([() => "denied"], handler)).toBe("denied");
    expect(await run([() => {}], handler)).toBeUndefined();
    expect(handler).not.toHaveBeenCalled();
  });
});

describe("errors", () => {
  test.each([
    ["at once", () => Promise.reject(new Error("boom"))],
    ["later", () => turns(5).then(() => Promise.reject(new Error("boom")))],
    [
      "without a promise",
      () => {
        throw new Error("boom");
      },
    ],
  ])("what a handler throws %s travels outward through every middleware", async (_how, handler) => {
    const seen: string[] = [];
    const layer = (name: string): Middleware => {
      return async (_m, _c, next) => {
        try {
          await next();
        } catch (error) {
          seen.push(name);
          throw error;
        }
      };
    };
    await expect(run([layer("a"), layer("b")], handler)).rejects.toThrow("boom");
    expect(seen).toEqual(["b", "a"]);
  });

  test("what a middleware throws, also before its first await, is a rejection", async () => {
    await expect(run([(_m, _c, next) => next(), broken], () => 1)).rejects.toThrow("broken");
  });

  test("a middleware may catch and answer instead", async () => {
    expect(await run([answersInstead], failing)).toBe("caught");
    expect(await run([swallows], failing)).toBeUndefined();
  });

  test.each([0, 1, 20])(
    "a next() that nobody awaits is awaited, a failure after %i turns included",
    async (count) => {
      for (const middleware of [forgets, forgetsLater]) {
        const done = vi.fn();
        await expect(
          run([middleware], () =>
            turns(count)
              .then(done)
              .then(() => "late"),
          ),
        ).resolves.toBe("late");
        expect(done).toHaveBeenCalledOnce();
        await expect(
          run([middleware], () => turns(count).then(() => Promise.reject(new Error("boom")))),
        ).rejects.toThrow("boom");
      }
    },
  );
});

describe("misuse of next()", () => {
  test("twice fails with a sentence that names the middleware, and the handler runs once", async () => {
    const handler = vi.fn();
    await expect(run([retrying], handler)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "Middleware 'retrying' called next() twice; call it at most once and await it.",
    });
    expect(handler).toHaveBeenCalledOnce();
  });

  test("twice fails even when the middleware looks away", async () => {
    const middlewares: Middleware[] = [
      (_m, _c, next) => {
        void next();
        void next();
      },
    ];
    await expect(run(middlewares, () => 1)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(run([(_m, _c, next) => (next(), next().catch(() => 2))], () => 1)).rejects.toThrow(
      "A middleware called",
    );
  });

  test("after the middleware has returned it is refused and runs nothing", async () => {
    const handler = vi.fn();
    let kept: (() => Promise<unknown>) | undefined;
    const late: Middleware = (_m, _c, next) => {
      kept = next;
    };
    await run([late], handler);
    await expect(kept?.()).rejects.toThrow("Middleware 'late' called next() after it had returned");
    expect(handler).not.toHaveBeenCalled();
  });
});
