import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { filledOnce, underLock } from "./cache.ts";

let root: string;
const at = (name: string) => path.join(root, name);

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "herald-cache-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Another process that fills the folder slowly and notes that it did. */
async function filler(): Promise<void> {
  const module = path.join(import.meta.dirname, "cache.ts");
  const program = `
    import { appendFileSync, writeFileSync } from "node:fs";
    const { filledOnce } = await import(${JSON.stringify(module)});
    filledOnce(${JSON.stringify(at("folder"))}, (draft) => {
      appendFileSync(${JSON.stringify(at("fills"))}, "x");
      writeFileSync(draft + "/half", "");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
      writeFileSync(draft + "/whole", "");
    });
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "inherit" });
  expect(await once(child, "exit")).toEqual([0, null]);
}

describe("a folder of the cache", () => {
  it("is filled once, whoever asks at the same time", async () => {
    await Promise.all([filler(), filler(), filler()]);
    expect(readFileSync(at("fills"), "utf8")).toBe("x");
    expect(readdirSync(root).toSorted()).toEqual(["fills", "folder"]);
    expect(readdirSync(at("folder")).toSorted()).toEqual(["half", "whole"]);
  });

  it("is not there when it could not be filled, and the next one tries again", () => {
    const fails = () =>
      filledOnce(at("folder"), (draft) => {
        writeFileSync(path.join(draft, "half"), "");
        throw new Error("no network");
      });
    expect(fails).toThrow("no network");
    expect(readdirSync(root)).toEqual([]);
    filledOnce(at("folder"), () => undefined);
    expect(existsSync(at("folder"))).toBe(true);
  });

  it("waits for nobody who died with the lock in hand", () => {
    writeFileSync(at("name.lock"), "1 never");
    expect(underLock(at("name"), () => "done")).toBe("done");
  });
});
