import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadManifest } from "./load-manifest.ts";
import { manifestError } from "./manifest-error.ts";

const MANIFEST = "apiVersion: ossa/v0.3.0\nkind: Agent\nmetadata: { name: a }\nspec: { messaging: {} }\n";

describe("loading a manifest file", () => {
  let folder = "";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "herald-manifest-"));
  });

  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  async function file(name: string, content: string | Uint8Array): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, content);
    return path;
  }

  it("reports what is in it, under its name", async () => {
    const path = await file("good.yaml", MANIFEST);
    expect(await loadManifest(path)).toMatchObject({
      valid: true,
      file: path,
      manifest: { agentId: "a", file: path },
    });
    const bad = await file("bad.yaml", "kind: Agent");
    const report = await loadManifest(bad);
    expect(manifestError(report).message).toContain(`${bad}:1:1: apiVersion is missing`);
  });

  it("takes a byte order mark for what it is", async () => {
    expect(await loadManifest(await file("bom.yaml", `\u{feff}${MANIFEST}`))).toMatchObject({ valid: true });
  });

  it("rejects with NOT_FOUND when there is no such file", async () => {
    await expect(loadManifest(join(folder, "none.yaml"))).rejects.toMatchObject({ code: "NOT_FOUND" });
    const path = await file("file.yaml", MANIFEST);
    await expect(loadManifest(join(path, "inside.yaml"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("rejects with INVALID_ARGUMENT what is no ordinary file, without waiting on a pipe", async () => {
    await expect(loadManifest(folder)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const pipe = join(folder, "pipe");
    execFileSync("/usr/bin/mkfifo", [pipe]);
    await expect(loadManifest(pipe)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(loadManifest("bad\0name")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("rejects with INVALID_ARGUMENT what is not UTF-8", async () => {
    const path = await file("latin.yaml", Buffer.from("# caf\xe9\n", "latin1"));
    await expect(loadManifest(path)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("UTF-8"),
    });
  });

  it("reports a file over 1 MiB as too large, also where the cut goes through a character", async () => {
    const path = await file("large.yaml", `#${"é".repeat(2_000_000)}`);
    const { errors } = await loadManifest(path);
    expect(errors).toMatchObject([{ message: expect.stringContaining("larger than 1024 KiB") }]);
  });
});

describe("the error for a report", () => {
  it("says so when there is nothing to report", () => {
    const report = { valid: true, file: undefined, errors: [], warnings: [] };
    expect(manifestError(report).code).toBe("INTERNAL");
  });

  it("names the manifest where there is no file, and leaves out a place that is not known", () => {
    const errors = [{ path: "", line: 0, column: 0, message: "is empty" }];
    expect(manifestError({ valid: false, file: undefined, errors, warnings: [] }).message).toBe(
      "The manifest: the manifest is empty.",
    );
  });
});
