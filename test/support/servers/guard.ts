import { spawn } from "node:child_process";
import type { Socket } from "node:net";

/**
 * Kills a process as soon as this one is gone, also when it was killed itself: a shell outside of it sees a pipe close.
 * The result calls the shell off.
 */
export function guard(pid: number): () => void {
  const shell = spawn("sh", ["-c", `read -r _; kill -9 ${pid}`], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  shell.on("error", () => undefined).unref();
  (shell.stdin as Socket).on("error", () => undefined).unref();
  return () => void shell.kill("SIGKILL");
}
