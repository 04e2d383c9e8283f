import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { MessagingService } from "../../src/service/service.ts";
import type { Harness } from "../../src/testing/conformance/harness.ts";
import { fileAt } from "./child-file.ts";

const ROOT = path.join(tmpdir(), `herald-file-${process.pid}`);
let isCleaned = false;

/** The folder of a storage; it goes when the process ends. */
export function folderOf(place: string): string {
  if (!isCleaned) {
    isCleaned = true;
    process.once("exit", () => rmSync(ROOT, { recursive: true, force: true }));
  }
  return path.join(ROOT, place);
}

/**
 * The file broker as the conformance suite takes it. In real time: its work is done in another thread, which no clock of a
 * test steps.
 */
export const fileHarness: Harness = {
  name: "file",
  patienceMs: 30_000,
  create: ({ place, longLeases }) => fileAt(folderOf(place), longLeases === true ? "long" : "short"),
  createService: (options) => new MessagingService(options),
  child: new URL(`child-file.ts?root=${encodeURIComponent(ROOT)}`, import.meta.url),
  scale: 0.05,
};
