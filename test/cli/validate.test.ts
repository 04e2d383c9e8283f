import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { manifest } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald validate", () => {
  it("says of each manifest whether it is valid", async () => {
    const { exit, stdout } = await call(["validate", manifest("shop"), manifest("packer")]);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^valid {4}\S+shop\.yaml {2}agent shop, D2\nvalid {4}\S+packer\.yaml/m);
  });

  it("prints each problem with its place and what to do", async () => {
    const { exit, stdout } = await call(["validate", manifest("broken")]);
    expect(exit).toBe(65);
    expect(stdout).toContain(
      "\n  7:5  error\n    spec.messaging.publishs is not known here\n    Did you mean publishes?\n",
    );
    expect(
      stdout
        .split("\n")
        .slice(1)
        .every((line) => line.length <= 80),
    ).toBe(true);
  });

  it("ends with 2 when some of several are invalid, and with 65 when all are", async () => {
    expect((await call(["validate", manifest("broken"), manifest("shop")])).exit).toBe(2);
    expect((await call(["validate", manifest("broken"), manifest("broken")])).exit).toBe(65);
  });

  it("prints one line a file for programs", async () => {
    for (const format of [["--format", "json"], ["--json"]]) {
      const { stdout } = await call(["validate", manifest("broken"), manifest("shop"), ...format]);
      const [broken, shop] = jsonLines(stdout);
      expect(shop).toEqual({
        file: manifest("shop"),
        valid: true,
        dialect: "D2",
        agentId: "shop",
        errors: [],
        warnings: [],
      });
      expect(broken).toMatchObject({
        valid: false,
        errors: [
          {
            path: "spec.messaging.publishs",
            line: 7,
            column: 5,
            message: "is not known here",
            hint: "Did you mean publishes?",
          },
          { path: "spec.messaging.subscribes[0].channel", line: 10, column: 18, hint: null },
        ],
      });
    }
  });

  it("prints annotations for GitHub, with what would end them escaped", async () => {
    const { stdout } = await call([
      "validate",
      manifest("broken"),
      manifest("seller"),
      "/tmp/a,b:c%.yaml",
      "--format",
      "github",
    ]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toBe(
      `::error file=${manifest("broken")},line=7,col=5::spec.messaging.publishs is not known here. Did you mean publishes?`,
    );
    expect(lines[2]).toMatch(/^::warning file=\S+seller\.yaml,line=8,col=9::/);
    expect(lines[3]).toMatch(
      /^::error file=\/tmp\/a%2Cb%3Ac%25\.yaml::There is no file '\/tmp\/a,b:c%25\.yaml'/,
    );
  });

  it("takes warnings for errors when it is strict", async () => {
    expect((await call(["validate", manifest("seller")])).exit).toBe(0);
    const strict = await call(["validate", "--strict", "--json", manifest("seller")]);
    expect(strict.exit).toBe(65);
    expect(jsonLines(strict.stdout)).toMatchObject([{ valid: false, errors: [{ line: 8 }], warnings: [] }]);
  });

  it("looks at several manifests together, and at one by itself", async () => {
    expect((await call(["validate", manifest("lonely")])).stdout).not.toContain("warning");
    const together = await call(["validate", manifest("lonely"), manifest("shop")]);
    expect(together.stdout).toContain("Did you mean orders.created?");
    const twice = await call(["validate", manifest("shop"), manifest("shop")]);
    expect([twice.exit, twice.stdout]).toEqual([0, expect.not.stringContaining("another agent")]);
  });

  it("refuses two files with one agent", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "herald-validate-"));
    const copy = path.join(folder, "shop.yaml");
    copyFileSync(manifest("shop"), copy);
    const { exit, stdout } = await call(["validate", "--json", manifest("shop"), copy]);
    rmSync(folder, { recursive: true });
    expect(exit).toBe(2);
    expect(jsonLines(stdout)).toMatchObject([
      { valid: true },
      { valid: false, errors: [{ path: "metadata.name", line: 4 }, {}, {}, {}] },
    ]);
  });

  it("ends with 66 when the only file is not there", async () => {
    const { exit, stdout } = await call(["validate", "/nowhere.yaml", "--json"]);
    expect(exit).toBe(66);
    expect(jsonLines(stdout)).toMatchObject([
      {
        file: "/nowhere.yaml",
        valid: false,
        dialect: null,
        errors: [{ path: "", line: 0, column: 0, hint: null }],
      },
    ]);
  });
});
