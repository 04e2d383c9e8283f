import { describe, expect, it } from "vitest";
import { readManifest } from "./read-manifest.ts";

const HEAD = "apiVersion: ossa/v0.3.0\nkind: Agent\nmetadata: { name: a }\nspec: {}\n";

function refusals(text: string): readonly string[] {
  const report = readManifest(text);
  expect(report).toMatchObject({ valid: false });
  expect(report.manifest).toBeUndefined();
  return report.errors.map(({ path, line, message }) => `${line} ${path} ${message}`);
}

describe("a hostile manifest", () => {
  it("with aliases that unfold to billions is refused without unfolding them", () => {
    const levels = Array.from({ length: 9 }, (_, i) => {
      const name = String.fromCodePoint(98 + i);
      const before = String.fromCodePoint(97 + i);
      return `${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(", ")}]`;
    });
    const bomb = `a: &a [lol, lol, lol]\n${levels.join("\n")}\n`;
    expect(bomb.length).toBeLessThan(600);
    expect(refusals(HEAD + bomb)).toEqual([expect.stringContaining("uses more than 100 aliases")]);
  });

  it("with few aliases of a large part is refused for its size once they are written out", () => {
    const part = `large: &large [${"x, ".repeat(3_000)}x]\n`;
    const uses = `uses: [${Array.from({ length: 90 }, () => "*large").join(", ")}]\n`;
    expect(refusals(HEAD + part + uses)).toEqual([expect.stringContaining("larger than 100000 parts")]);
  });

  it("with an alias inside what it stands for, or of nothing, is refused", () => {
    expect(refusals(`${HEAD}loop: &loop [1, *loop]`)).toEqual([
      "5 loop[1] is an alias of loop, which is around it",
    ]);
    expect(refusals(`${HEAD}loop: *nowhere`)[0]).toContain("nowhere");
  });

  it("that uses aliases sparingly is read, and problems in an aliased part have its place", () => {
    const text = HEAD.replace("spec: {}\n", "");
    const report = readManifest(`${text}common: &common { type: strng }
spec:
  messaging:
    commands:
      - { name: a, inputSchema: *common }
`);
    expect(report.errors).toMatchObject([
      { path: "spec.messaging.commands[0].inputSchema.type", line: 4, column: 25 },
    ]);
  });

  it.each(["!!js/function 'x => x'", "!secret path", "!!binary aGk=", "!!set {a}", "!!timestamp 2026-01-01"])(
    "with the tag %s is refused",
    (value) => {
      expect(refusals(`${HEAD}extra: ${value}`)).toEqual([
        expect.stringMatching(/^5 extra has the tag .*only plain YAML is read$/),
      ]);
    },
  );

  it("with core tags alone is read", () => {
    expect(readManifest(HEAD.replace("kind: Agent", "kind: !!str Agent")).valid).toBe(true);
  });

  it("with a key twice is refused at the second, at any depth and in any number", () => {
    expect(refusals(`${HEAD}kind: Task\n`)).toEqual(["5 kind is there twice"]);
    expect(refusals(`${HEAD}x: { y: [{ z: 1, z: 2 }] }`)).toEqual(["5 x.y[0].z is there twice"]);
    expect(refusals(HEAD + "k: 1\n".repeat(40_000))).toHaveLength(20);
  });

  it("with more than one document, or another YAML version, is refused", () => {
    expect(refusals(`${HEAD}---\n${HEAD}`)).toEqual([expect.stringContaining("more than one document")]);
    expect(refusals(`%YAML 1.1\n---\n${HEAD}`)).toEqual([expect.stringContaining("only 1.2 is read")]);
  });

  it("larger than 1 MiB is refused before it is parsed", () => {
    expect(refusals(`${HEAD}# ${"é".repeat(600_000)}`)).toEqual([
      expect.stringContaining("larger than 1024 KiB"),
    ]);
    expect(readManifest(`${HEAD}# ${"e".repeat(600_000)}`).valid).toBe(true);
  });

  it("with a key __proto__ is refused in YAML and in JSON, and Object.prototype stays as it was", () => {
    expect(refusals(`${HEAD}__proto__: { isAdmin: true }`)).toEqual([expect.stringContaining("__proto__")]);
    expect(refusals('{"spec":{"messaging":{"\\u005f_proto__":{"isAdmin":true}}}}')).toEqual([
      expect.stringContaining("__proto__"),
    ]);
    expect(({} as Record<string, unknown>)["isAdmin"]).toBeUndefined();
  });

  it.each([
    ["brackets", "[".repeat(200_000)],
    ["objects", "{a: ".repeat(50_000)],
    ["list items", "- ".repeat(100_000)],
    ["closed brackets", `x: ${"[".repeat(500)}${"]".repeat(500)}`],
    ["keys", Array.from({ length: 300 }, (_, i) => `${" ".repeat(i)}a:`).join("\n")],
  ])("of deeply nested %s is refused", (_, text) => {
    expect(refusals(text).length).toBeGreaterThan(0);
  });

  it("with keys that are no text is refused", () => {
    expect(refusals(`${HEAD}? [a, b]\n: 1\n`)[0]).toContain("a key that is not text");
  });

  it("with endless unknown keys ends with a bounded report", () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `    unknown${i}: 1`).join("\n");
    const text = HEAD.replace("spec: {}\n", `spec:\n  messaging:\n${keys}\n`);
    expect(readManifest(text).errors).toHaveLength(100);
  });

  it("that misspells a setting is refused with its path, not read without it", () => {
    const text = HEAD.replace("spec: {}", "spec: { messaging: { reliability: { dql: { enabled: true } } } }");
    expect(readManifest(text).errors).toMatchObject([
      { path: "spec.messaging.reliability.dql", hint: "Did you mean dlq?" },
    ]);
  });

  it.each(["file:///etc/passwd", "http://127.0.0.1:9/schema.json", "../secrets.json"])(
    "whose schema refers to %s is refused",
    (address) => {
      const text = HEAD.replace(
        "spec: {}",
        `spec: { messaging: { commands: [{ name: a, inputSchema: { $ref: "${address}" } }] } }`,
      );
      expect(refusals(text)).toEqual([expect.stringContaining("nothing is ever fetched")]);
    },
  );
});
