import { execFileSync } from "node:child_process";
import path from "node:path";

/**
 * Builds dist once, before all tests: the documents' code and the package are tested as a user gets them. A build that
 * fails leaves no dist, so that those tests fail and the others still say what they have to say.
 */
export default function setup(): void {
  try {
    execFileSync(process.execPath, [path.resolve(import.meta.dirname, "../../scripts/build.mjs")], {
      stdio: "inherit",
    });
  } catch {
    process.stderr.write("The build failed: what needs dist fails too.\n");
  }
}
