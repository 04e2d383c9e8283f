import { execFileSync } from "node:child_process";
import path from "node:path";

/** Builds dist once, before all tests: the documents' code and the package are tested as a user gets them. */
export default function setup(): void {
  execFileSync(process.execPath, [path.resolve(import.meta.dirname, "../../scripts/build.mjs")], { stdio: "inherit" });
}
