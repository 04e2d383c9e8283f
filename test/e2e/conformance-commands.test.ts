import { spawnSync } from "node:child_process";
import path from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = path.resolve(import.meta.dirname, "../..");

function run(script: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(ROOT, "scripts", script), ...args],
    { encoding: "utf8" },
  );
  return { status, stdout, stderr };
}

describe("the conformance command", () => {
  it("prints one document on stdout and its progress on stderr", () => {
    const { status, stdout, stderr } = run(
      "conformance.ts",
      "memory",
      "--json",
      "--only",
      "c",
      "--seed",
      "7",
    );

    const report = JSON.parse(stdout) as { notApplicable: readonly object[] };
    expect([status, stdout.trim().split("\n").length]).toEqual([0, 1]);
    expect(report).toMatchObject({
      broker: "memory",
      failed: 0,
      seed: 7,
      abilities: { groups: true, lease: false },
    });
    expect(report.notApplicable).toContainEqual({ case: "c03-lease-expiry", ability: "lease" });
    expect(stderr).toContain("passed c05-max-attempts");
  });

  it("prints a line a case and the matrix for people", () => {
    const { status, stdout } = run("conformance.ts", "memory", "--only", "c-ack");

    expect(status).toBe(0);
    expect(stdout).toContain("ok c-ack-ends");
    expect(stdout).toContain("| groups | yes |");
  });

  it("says what is wrong with a wrong call, and proves nothing with an empty selection", () => {
    expect(run("conformance.ts")).toMatchObject({ status: 2, stdout: "" });
    expect(run("conformance.ts", "pigeon")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("no broker 'pigeon'") as string,
    });
    expect(run("conformance.ts", "memory", "--seed", "x")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--seed") as string,
    });
    expect(run("conformance.ts", "memory", "--wrong")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--wrong") as string,
    });
    expect(run("conformance.ts", "memory", "--json", "--only", "zzz").status).toBe(1);
    expect(run("conformance.ts", "--help")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("Usage") as string,
    });
  });
});

describe("the mutants command", () => {
  it("prints one document with what was seeded and what was caught", () => {
    const { status, stdout } = run("mutants.ts", "--json", "--only", "loses headers");

    expect(JSON.parse(stdout)).toMatchObject({
      seeded: 1,
      caught: 1,
      survivors: [],
      mutants: [{ mutant: "loses headers", case: "a01-roundtrip", anomalies: ["corrupt"] }],
    });
    expect(status).toBe(0);
  });

  it("proves nothing with an empty selection", () => {
    expect(run("mutants.ts", "--json", "--only", "no such fault").status).toBe(1);
    expect(run("mutants.ts", "--help")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("Usage") as string,
    });
  });
});
