// Installs the locked dependencies when they are missing or stale. Node built-ins only; runs on Node 20 and later,
// because on a fresh clone it is the system's Node that starts it.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const stamp = path.join(root, "node_modules", ".herald-lock");
const lock = createHash("sha256")
  .update(readFileSync(path.join(root, "package-lock.json")))
  .update(readFileSync(path.join(root, "package.json")))
  .digest("hex");

function isFresh() {
  return (
    existsSync(stamp) &&
    readFileSync(stamp, "utf8") === lock &&
    existsSync(path.join(root, "node_modules", ".bin", "node"))
  );
}

if (!isFresh()) {
  process.stderr.write("herald: installing the locked dependencies (npm ci) …\n");
  execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  writeFileSync(stamp, lock);
}
