import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { cacheFolder, filledOnce } from "./cache.ts";
import { firstFound, outputOf, type Found } from "./found.ts";
import { javaTools } from "./java-tools.ts";

/** What an Apicurio Registry is started from. */
export interface ApicurioHome {
  readonly java: string;
  readonly jar: string;
}

/** The last of the 3.0 line, which runs on Java 17; later ones want Java 21. */
const VERSION = "3.0.9";

let found: Found<ApicurioHome> | undefined;

/** The Apicurio Registry that Maven fetches, once a user; or why it cannot be had. */
export function apicurioHome(): Found<ApicurioHome> {
  found ??= firstFound([find]);
  return found;
}

function find(): Found<ApicurioHome> {
  const java = javaTools();
  const folder = filledOnce(cacheFolder(`apicurio-${VERSION}`), fetch);
  const jar = readdirSync(folder).find((file) => file.endsWith("-runner.jar"));
  return jar === undefined ? { why: `${folder} holds no registry` } : { java, jar: path.join(folder, jar) };
}

function fetch(draft: string): void {
  process.stderr.write("herald: fetching Apicurio Registry, once; it takes a minute …\n");
  const artifact = `io.apicurio:apicurio-registry-app:${VERSION}:tar.gz:all`;
  const what = [`-Dartifact=${artifact}`, `-DoutputDirectory=${draft}`];
  outputOf("mvn", ["-B", "-q", "dependency:copy", ...what], { cwd: draft });
  const archive = readdirSync(draft).find((file) => file.endsWith(".tar.gz")) ?? "";
  outputOf("tar", ["-xzf", archive], { cwd: draft });
  rmSync(path.join(draft, archive));
}
