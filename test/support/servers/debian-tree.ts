import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { cacheFolder, filledOnce } from "./cache.ts";
import { outputOf } from "./found.ts";

/** The Debian whose packages are newer than those of the machine that tests run on, and still stable. */
const SUITE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * A folder with packages of Debian 13 in it, unpacked and not installed: nothing of the machine changes, and nobody has to
 * be root. It is made once; `finish` gets it while it still lies elsewhere, and where it will lie. Throws where apt cannot
 * fetch the packages.
 */
export function debianTree(
  name: string,
  packages: readonly string[],
  finish: (draft: string, home: string) => void = () => undefined,
): string {
  const home = cacheFolder(`debian-13-${name}`);
  return filledOnce(home, (draft) => {
    const scratch = `${draft}.apt`;
    try {
      for (const file of fetched(scratch, packages)) outputOf("dpkg-deb", ["-x", file, draft]);
      finish(draft, home);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}

/** Paths of the packages' files. Apt has checked whose they are. */
function fetched(scratch: string, packages: readonly string[]): readonly string[] {
  const at = (name: string) => path.join(scratch, name);
  for (const folder of ["state/lists/partial", "cache/archives/partial", "files"])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("status"), "");
  writeFileSync(at("sources.list"), `deb [signed-by=${KEYRING}] ${mirror()} ${SUITE} main\n`);
  const settings = {
    "Dir::State": at("state"),
    "Dir::State::status": at("status"),
    "Dir::Cache": at("cache"),
    "Dir::Etc::sourcelist": at("sources.list"),
    "Dir::Etc::sourceparts": "-",
    "Acquire::Languages": "none",
    "APT::Sandbox::User": "root",
  };
  const own = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  outputOf("apt-get", ["update", ...own]);
  outputOf("apt-get", ["download", ...own, ...packages], { cwd: at("files") });
  return readdirSync(at("files")).map((file) => path.join(at("files"), file));
}

/** Where the machine gets its own packages from. */
function mirror(): string {
  const targets = ["Created-By: Packages", "Component: main"];
  const [first = ""] = outputOf("apt-get", ["indextargets", "--format", "$(REPO_URI)", ...targets]).split(
    "\n",
  );
  if (first === "") throw new Error("apt-get knows of no archive of packages");
  return first;
}
