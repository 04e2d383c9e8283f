import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, describe, expect, it } from "vitest";
import { Sandbox } from "./sandbox.ts";

const sandbox = new Sandbox();
const LIMITS = { timeoutMs: 2000, maxBytes: 10_000 };
const MESSAGE = { id: "m1", source: "scanner", channel: "security.found", metadata: { priority: 10 } };

function run(language: "jsonata" | "jmespath", expression: string, payload: unknown, limits = LIMITS) {
  return sandbox.run(language, expression, { payload, message: MESSAGE, ...limits });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

// Whatever was done to it before, it still works.
afterAll(async () => expect(await run("jsonata", "1 + 1", null)).toBe(2));

describe("an expression", () => {
  it("in JMESPath works on the payload", async () => {
    const payload = { vulnerability_id: "v1", severity: "high", other: 1 };
    expect(await run("jmespath", "{id: vulnerability_id, severity: severity}", payload)).toEqual({
      id: "v1",
      severity: "high",
    });
    expect(
      await run("jmespath", "findings[?cvss > `7`].id", {
        findings: [
          { id: 1, cvss: 9 },
          { id: 2, cvss: 3 },
        ],
      }),
    ).toEqual([1]);
  });

  it("in JSONata works on the payload, and finds the message in $message", async () => {
    const expression =
      '{ "total": $sum(items.price), "from": $message.source, "p": $message.metadata.priority }';
    expect(await run("jsonata", expression, { items: [{ price: 2 }, { price: 3 }] })).toEqual({
      total: 5,
      from: "scanner",
      p: 10,
    });
  });

  it("is answered in the order of the calls, and sees the payload as it was at the call", async () => {
    const payload = { n: 0 };
    const results = Array.from({ length: 100 }, (_none, n) => {
      payload.n = n;
      return run(n % 2 === 0 ? "jsonata" : "jmespath", "n", payload);
    });
    expect(await Promise.all(results)).toEqual(Array.from({ length: 100 }, (_none, n) => n));
  });

  it("that cannot be read is refused when it is checked", async () => {
    await expect(sandbox.check("jsonata", "a.(")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(sandbox.check("jmespath", "a[")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await sandbox.check("jsonata", "a.b");
  });

  it("that gives nothing, or a function, or fails, is an error that says so", async () => {
    for (const expression of ["missing", "$sum", "function($x) { $x }", '$number("x")', '$error("no")']) {
      await expect(run("jsonata", expression, {})).rejects.toMatchObject({
        code: "TRANSFORM_FAILED",
        details: { reason: "error" },
      });
    }
  });
});

describe("a hostile expression", () => {
  const SHORT = { timeoutMs: 300, maxBytes: 10_000 };

  it.each([
    ["a loop without end", "jsonata", "($f := function() { $f() }; $f())", {}],
    ["a recursion without end", "jsonata", "($f := function($n) { 1 + $f($n + 1) }; $f(1))", {}],
    [
      "a regular expression that backtracks",
      "jsonata",
      "$match(text, /^(a|a)*$/)",
      { text: `${"a".repeat(40)}!` },
    ],
    ["a range of ten million", "jsonata", "$sum([1..10000000].($ * 2))", {}],
    ["a text of a gigabyte", "jsonata", '$length($pad("x", 1000000000))', {}],
    [
      "a list that doubles",
      "jsonata",
      "($d := function($l, $n) { $n = 0 ? $l : $d($append($l, $l), $n - 1) }; $d([1, 2], 40))",
      {},
    ],
    [
      "a result that is too large",
      "jmespath",
      "[@, @, @, @, @, @, @, @, @, @, @, @]",
      { text: "x".repeat(1000) },
    ],
  ] as const)(
    "%s ends with TRANSFORM_FAILED, and the event loop goes on",
    async (_what, language, expression, payload) => {
      let turns = 0;
      const turn = (): void => void (turns >= 0 && (turns++, setImmediate(turn)));
      turn();
      const failed = await run(language, expression, payload, SHORT).catch((error: unknown) => error);
      expect(failed).toMatchObject({ code: "TRANSFORM_FAILED" });
      expect(turns).toBeGreaterThan(0);
      turns = -1;
      // Those behind it are answered all the same.
      expect(await run("jsonata", "n", { n: 7 })).toBe(7);
    },
  );

  it("that fills its memory ends its process and not the program", async () => {
    for (const expression of [
      "($d := function($l, $n) { $n = 0 ? $l : $d($append($l, $l), $n - 1) }; $d([1, 2], 40))",
      "$count([1..10000000].{'n': $})",
    ]) {
      const failed = await run("jsonata", expression, {}, { timeoutMs: 60_000, maxBytes: 10_000 }).catch(
        (error: unknown) => error,
      );
      expect(failed).toMatchObject({ code: "TRANSFORM_FAILED", details: { reason: "memory" } });
      expect(await run("jsonata", "n", { n: 7 })).toBe(7);
    }
  });

  it("does not outlive a program that is killed while it runs", async () => {
    const program = `
      import { Sandbox } from ${JSON.stringify(new URL("./sandbox.ts", import.meta.url).href)};
      const over = { payload: { text: "a".repeat(40) + "!" }, message: {}, timeoutMs: 600_000, maxBytes: 10 };
      const sandbox = new Sandbox();
      await sandbox.check("jsonata", "1");
      void sandbox.run("jsonata", "$match(text, /^(a|a)*$/)", over);
      console.log(process._getActiveHandles().find(({ pid }) => pid !== undefined).pid);`;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [said] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(said.toString());
    expect(pid).toBeGreaterThan(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    parent.kill("SIGKILL");
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it("reaches nothing of the program: no globals, no prototypes, no code", async () => {
    for (const expression of [
      '$eval("1").constructor',
      "$.constructor",
      "constructor.constructor",
      "__proto__.polluted",
      "process.env",
      "globalThis",
      "$lookup($, 'constructor')",
    ]) {
      const result = await run("jsonata", expression, { a: 1 }).catch(
        (error: { code: string }) => error.code,
      );
      expect(["TRANSFORM_FAILED", null]).toContain(result);
    }
    await run("jsonata", '$ ~> |$|{"__proto__": {"polluted": true}}|', { a: {} }).catch(() => undefined);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it("does not fail those that wait behind it", async () => {
    const slow = run("jsonata", "($f := function() { $f() }; $f())", {}, SHORT);
    const others = Array.from({ length: 20 }, (_none, n) => run("jmespath", "n", { n }));
    await expect(slow).rejects.toMatchObject({
      details: { reason: expect.stringMatching(/time|error/) as string },
    });
    expect(await Promise.all(others)).toEqual(Array.from({ length: 20 }, (_none, n) => n));
  });
});
