import { execFileSync } from "node:child_process";
import type { Address } from "../../src/testing/conformance/harness.ts";
import { kcatBinary } from "./servers/kcat-binary.ts";

/** What kcat prints, and what it is given to read. */
export function kcat({ host, port }: Address, args: readonly string[], input = ""): string {
  return execFileSync(kcatBinary().path ?? "", ["-b", `${host}:${port}`, ...args], {
    encoding: "utf8",
    input,
    stdio: ["pipe", "pipe", "ignore"],
    timeout: 30_000,
    maxBuffer: 2 ** 30,
  });
}

/** Every committed record of a topic, printed by kcat. */
export function readByKcat(
  address: Address,
  topic: string,
  format: string,
  more: readonly string[] = [],
): string {
  return kcat(address, ["-C", "-e", "-q", "-o", "beginning", "-t", topic, "-f", format, ...more]);
}
