import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * When the process of this id was born, in words that stay the same as long as it lives and are never another's; undefined
 * when there is none.
 */
export function birthOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The 22nd field; the second is a name in brackets that may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    const { stdout } = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" });
    return stdout?.trim() || undefined;
  }
}
