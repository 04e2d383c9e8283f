import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { manifest } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald doctor", () => {
  it("finds this machine well", async () => {
    const { exit, stdout } = await call(["doctor"]);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^ok {6}herald: \d+\.\d+\.\d+ on /);
    expect(stdout).toContain("ok      broker memory: available, order per key, durability none");
  });

  it("ends with 3 when an agent would not start, and says why", async () => {
    const { exit, stdout } = await call([
      "doctor",
      "--json",
      "-m",
      ...["packer", "broken", "throws", "unbound"].map(manifest),
    ]);
    expect(exit).toBe(3);
    expect(jsonLines(stdout)).toEqual([
      { check: "herald", status: "ok", detail: expect.any(String) },
      { check: "node", status: "ok", detail: expect.stringContaining(process.version) },
      { check: "broker memory", status: "ok", detail: expect.any(String) },
      { check: `manifest ${manifest("packer")}`, status: "ok", detail: "agent packer, 1 subscription bound" },
      {
        check: `manifest ${manifest("broken")}`,
        status: "failed",
        detail: expect.stringContaining("publishs"),
        hint: expect.any(String),
      },
      {
        check: `manifest ${manifest("throws")}`,
        status: "failed",
        detail: "this module is broken",
        hint: expect.any(String),
      },
      {
        check: `manifest ${manifest("unbound")}`,
        status: "failed",
        detail: expect.stringContaining("'hear'"),
        hint: expect.any(String),
      },
    ]);
  });

  it("shows people what to do about what does not hold", async () => {
    const { stdout } = await call(["doctor", "-m", manifest("throws")]);
    expect(stdout).toMatch(/\nfailed {2}manifest /);
    expect(stdout).toContain("        Correct the agent's module");
  });
});
