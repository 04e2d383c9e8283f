import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { HeraldError, loadAgents, MemoryBroker, MessagingService } from "../src/index.ts";
import { codeOf, siege } from "./support/siege.ts";
import { BUSY_MS } from "./support/taking.ts";

/** A manifest file in a folder of its own. */
function manifestFile(text: string | Uint8Array, name = "a.yaml"): string {
  const folder = mkdtempSync(path.join(tmpdir(), "herald-hostile-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

const HEAD = "apiVersion: ossa/v0.3.0\nkind: Agent\nmetadata: { name: a }\n";
const load = (file: string) => loadAgents([file], { broker: new MemoryBroker() });

describe("a hostile manifest", () => {
  const bomb = (): string => {
    const lines = ["a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]"];
    for (let i = 1; i < 9; i++) {
      const before = String.fromCodePoint(96 + i);
      const name = String.fromCodePoint(97 + i);
      lines.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(",")}]`);
    }
    return `${HEAD}${lines.join("\n")}\nspec: {}\n`;
  };

  it.each<[string, () => string | Uint8Array]>([
    ["that unfolds to billions", bomb],
    ["of two megabytes", () => `${HEAD}spec: {}\n# ${"x".repeat(2_000_000)}`],
    ["of ten thousand levels", () => `${HEAD}spec: ${"[".repeat(10_000)}${"]".repeat(10_000)}`],
    ["with a tag that makes a function", () => `${HEAD}spec: !!js/function 'function(){ process.exit(1) }'`],
    ["with a tag of its own", () => `${HEAD}spec: !include /etc/passwd`],
    ["that holds itself", () => `${HEAD}spec: &s { messaging: *s }`],
    ["with a poisoned key", () => `${HEAD}spec: { messaging: { __proto__: { isAdmin: true } } }`],
    ["with a key twice", () => `${HEAD}spec: {}\nspec: { messaging: {} }`],
    ["that is not UTF-8", () => Uint8Array.of(0xff, 0xfe, 0x00)],
    ["that is no YAML", () => "\u0000\u0001{"],
    ["that is empty", () => ""],
    ["of a number", () => "42"],
    [
      "with a channel that climbs",
      () => `${HEAD}spec: { messaging: { publishes: [{ channel: ../../etc/passwd }] } }`,
    ],
    ["with a reserved channel", () => `${HEAD}spec: { messaging: { publishes: [{ channel: system.x }] } }`],
    ["with a name that climbs", () => HEAD.replace("name: a", "name: ../../a") + "spec: {}"],
  ])("(%s) is refused by name before anything starts, and in no time", async (_name, make) => {
    const { survives } = await siege();
    const file = manifestFile(make());
    const startedAt = performance.now();

    expect(["INVALID_MANIFEST", "INVALID_ARGUMENT"]).toContain(await codeOf(() => load(file)));
    expect(performance.now() - startedAt).toBeLessThan(2000 + BUSY_MS);
    await survives();
  });

  it("of JSON is held to the same", async () => {
    const poisoned =
      '{"apiVersion":"ossa/v0.3.0","kind":"Agent","metadata":{"name":"a"},"spec":{"__proto__":{"isAdmin":true}}}';
    expect(await codeOf(() => load(manifestFile(poisoned, "a.json")))).toBe("INVALID_MANIFEST");
    expect(
      await codeOf(() => load(manifestFile(`${"[".repeat(100_000)}${"]".repeat(100_000)}`, "b.json"))),
    ).toBe("INVALID_MANIFEST");
    expect("isAdmin" in {}).toBe(false);
  });

  it("that is no file, or not there, is refused by name", async () => {
    expect(await codeOf(() => load("/does/not/exist.yaml"))).toBe("NOT_FOUND");
    expect(await codeOf(() => load(tmpdir()))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(() => load("/dev/zero"))).toBe("INVALID_ARGUMENT");
  });

  it("as an object is refused by name where it is odd", async () => {
    const cycle: Record<string, unknown> = {};
    cycle["publishes"] = cycle;
    const odd: unknown[] = [
      5,
      "publishes",
      [],
      cycle,
      { publishes: "all" },
      { publishes: [{ channel: "a b" }] },
      { subscribes: [null] },
      { commands: [{ name: "../x" }] },
      { reliability: { retry: { maxAttempts: -1 } } },
      JSON.parse('{"__proto__": {"isAdmin": true}}'),
    ];
    for (const messaging of odd) {
      const made = await codeOf(() => new MessagingService({ agentId: "a", messaging: messaging as never }));
      expect(["INVALID_MANIFEST", "INVALID_ARGUMENT"]).toContain(made);
    }
    expect("isAdmin" in {}).toBe(false);
  });
});

describe("a hostile schema", () => {
  const deep = (depth: number): object => {
    let schema: object = { type: "string" };
    for (let i = 0; i < depth; i++) schema = { type: "object", properties: { a: schema } };
    return schema;
  };

  it.each<[string, () => unknown]>([
    ["with a pattern that backtracks", () => ({ type: "string", pattern: "^(a|a)*$" })],
    ["with nested quantifiers", () => ({ type: "string", pattern: "(a+)+$" })],
    ["with such a pattern as a key", () => ({ type: "object", patternProperties: { "^(x+x+)+y$": {} } })],
    ["with a pattern that is none", () => ({ type: "string", pattern: "(" })],
    ["of five thousand levels", () => deep(5000)],
    ["that refers to itself without end", () => ({ $ref: "#" })],
    [
      "that refers in a circle",
      () => ({ $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" }),
    ],
    ["that refers to nothing", () => ({ $ref: "#/$defs/none" })],
    ["of five megabytes", () => ({ type: "string", description: "x".repeat(5_000_000) })],
    ["with $data", () => ({ type: "number", maximum: { $data: "1/limit" } })],
    ["with an unknown keyword", () => ({ type: "string", evaluate: "process.exit()" })],
    [
      "with a poisoned key",
      () => JSON.parse('{"type":"object","properties":{"__proto__":{"default":{"isAdmin":true}}}}'),
    ],
    ["that is no schema", () => "string"],
    ["that is null", () => null],
  ])("(%s) is UNSAFE_SCHEMA before it is used, and in no time", async (_name, make) => {
    const { target, survives } = await siege();
    const startedAt = performance.now();

    expect(await codeOf(() => target.subscribe("victim", () => {}, { schema: make() as never }))).toBe(
      "UNSAFE_SCHEMA",
    );
    expect(performance.now() - startedAt).toBeLessThan(2000 + BUSY_MS);
    expect(target.listSubscriptions()).toEqual([]);
    await survives();
  });

  it("that refers to another machine or a file is refused, and nothing is fetched or read", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.end('{"type":"string"}');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const { port } = server.address() as AddressInfo;
    const { target, survives } = await siege();
    for (const $ref of [
      `http://127.0.0.1:${port}/s.json`,
      "file:///etc/passwd",
      "../other.json",
      "//127.0.0.1/x",
    ]) {
      expect(await codeOf(() => target.subscribe("victim", () => {}, { schema: { $ref } }))).toBe(
        "UNSAFE_SCHEMA",
      );
    }
    const self = {
      $id: `http://127.0.0.1:${port}/self`,
      $schema: `http://127.0.0.1:${port}/meta`,
      type: "string",
    };
    await codeOf(() => target.subscribe("victim", () => {}, { schema: self }));
    await survives();

    expect(asked).toEqual([]);
  });

  it("fills nothing in and changes nothing, whatever its defaults say", async () => {
    const { target, survives } = await siege();
    const seen: unknown[] = [];
    const schema = { type: "object", properties: { role: { type: "string", default: "admin" } } };
    await target.subscribe("victim", ({ payload }) => void seen.push(payload), { schema });
    await target.publish("victim", {});
    await survives();

    expect(seen).toEqual([{}]);
  });

  it("is not outlasted by a payload made to be slow: a megabyte is judged at once", async () => {
    const { target, survives } = await siege(
      { limits: { maxMessageBytes: 2_000_000 } },
      { maxBodyBytes: 2_000_000 },
    );
    const schema = { type: "array", items: { type: "string", pattern: "^[a-z]+$", maxLength: 100 } };
    let handled = 0;
    await target.subscribe("victim", () => void handled++, { schema });
    const startedAt = performance.now();
    await target.publish(
      "victim",
      Array.from({ length: 50_000 }, () => "aaaaaaaaaaaaaaaaaa"),
    );
    await target.publish("victim", [...Array.from({ length: 50_000 }, () => "aaaaaaaaaaaaaaaaaa"), "!"]);
    await survives();

    expect(performance.now() - startedAt).toBeLessThan(2000 + BUSY_MS);
    expect(handled).toBe(1);
    expect(await target.deadLetters.stats()).toMatchObject({ byCode: { SCHEMA_VIOLATION: 1 } });
  });

  it("of a validator that throws, hangs on to nothing or answers with nonsense is an error of the message, not of the process", async () => {
    const { time, target, survives } = await siege();
    const answers: (() => unknown)[] = [
      () => {
        throw new Error("broken validator");
      },
      () => Promise.reject(new Error("broken later")),
      () => ({ issues: [{ message: "no" }] }),
      () => ({ issues: [{ message: "no", path: ["__proto__", { key: "x" }] }] }),
      () => null,
      () => ({}),
    ];
    let handled = 0;
    for (const [at, validate] of answers.entries()) {
      const schema = { "~standard": { version: 1, vendor: "hostile", validate } };
      await target.subscribe(`victim.${at}`, () => void handled++, { schema: schema as never });
      await target.publish(`victim.${at}`, 1);
    }
    await time.elapse(1000);
    await survives();

    // One that finds no issues has accepted, whatever else it leaves out.
    expect(handled).toBeLessThanOrEqual(1);
    expect((await target.deadLetters.stats()).total).toBeGreaterThanOrEqual(5);
  });
});

describe("an agent's own contract", () => {
  it("holds: what is not declared is FORBIDDEN, what breaks its schema SCHEMA_VIOLATION, both before anything is sent", async () => {
    const messaging = { publishes: [{ channel: "declared", schema: { type: "object", required: ["a"] } }] };
    const { target, broker, survives } = await siege({ messaging });
    const before = (await broker.admin.list()).toSorted();

    expect(await codeOf(() => target.publish("undeclared", 1))).toBe("FORBIDDEN");
    expect(await codeOf(() => target.publish("system.x", 1))).toBe("FORBIDDEN");
    expect(await codeOf(() => target.publish("dlq.bystander", 1))).toBe("FORBIDDEN");
    const error = await target.publish("declared", { b: "secret" }).catch((refused: HeraldError) => refused);
    expect(error).toMatchObject({ code: "SCHEMA_VIOLATION" });
    expect((error as HeraldError).message).not.toContain("secret");
    expect((await broker.admin.list()).toSorted()).toEqual(before);
    await survives();
  });
});
