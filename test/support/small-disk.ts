import { spawnSync } from "node:child_process";
import { mkdtempSync, openSync, closeSync, rmdirSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { DiskControl } from "../../src/testing/conformance/harness.ts";

/** A disk in memory that is soon full. */
export interface SmallDisk extends DiskControl {
  readonly folder: string;
  /** Unmounts it; what it held is gone. */
  release(): void;
}

/** Mounts a disk of so many MiB, or says why that cannot be done here. */
export function smallDisk(mib: number): SmallDisk | { readonly why: string } {
  if (process.getuid?.() !== 0) return { why: "mounting a small disk needs root" };
  const folder = mkdtempSync(path.join(tmpdir(), "herald-disk-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mib}m`, "tmpfs", folder], {
    encoding: "utf8",
  });
  if (mounted.status !== 0) {
    rmdirSync(folder);
    return { why: `a small disk could not be mounted: ${mounted.stderr?.trim() || mounted.error?.message}` };
  }
  const filler = path.join(folder, "filler");
  let isMounted = true;
  const release = () => {
    if (!isMounted) return;
    isMounted = false;
    spawnSync("umount", ["-l", folder]);
    rmdirSync(folder);
  };
  process.once("exit", release);
  return {
    folder,
    fill: async () => fill(filler),
    free: async () => rmSync(filler, { force: true }),
    release,
  };
}

/** Others may free a page while it is filled, so the last bytes are taken one page at a time. */
function fill(filler: string): void {
  const file = openSync(filler, "a");
  try {
    for (const size of [1_048_576, 65_536, 4096]) while (takes(file, Buffer.alloc(size)));
  } finally {
    closeSync(file);
  }
}

function takes(file: number, bytes: Buffer): boolean {
  try {
    return writeSync(file, bytes) === bytes.length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOSPC") return false;
    throw error;
  }
}
