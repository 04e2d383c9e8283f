import { readFileSync } from "node:fs";

/** What the package says of itself. */
export interface PackageInfo {
  readonly version: string;
  readonly engines: { readonly node: string };
}

/** Reads `package.json`, which stands two folders up from here in the sources and in the build. */
export function packageInfo(): PackageInfo {
  const info: PackageInfo = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return info;
}
