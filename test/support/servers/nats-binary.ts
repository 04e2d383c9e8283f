import path from "node:path";
import { cacheFolder, filledOnce } from "./cache.ts";
import { firstFound, onPath, outputOf, versionIn, type Found } from "./found.ts";

/** What is built where there is a Go to build it with. */
const VERSION = "2.15.3";
/** A message of a time to live of its own came with 2.11, scheduled ones with 2.12: the broker takes none that is older. */
const OLDEST = "2.12";

let found: Found | undefined;

/** A nats-server that is new enough: the machine's, else one that the machine's Go builds. Debian 13's is too old. */
export function natsBinary(): Found {
  found ??= firstFound([present, built]);
  return found;
}

function present(): Found {
  const file = onPath("nats-server");
  if (file === undefined) return { why: "there is no nats-server on the PATH" };
  const version = outputOf(file, ["--version"]);
  if (versionIn(version) >= versionIn(OLDEST)) return { path: file };
  return { why: `the nats-server on the PATH (${version.trim()}) is older than ${OLDEST}` };
}

function built(): Found {
  const go = onPath("go");
  if (go === undefined) return { why: `${present().why}, and there is no Go to build ${VERSION} with` };
  const folder = filledOnce(cacheFolder(`nats-${VERSION}`), (draft) => {
    process.stderr.write("herald: building nats-server, once; it takes minutes …\n");
    // The Go that is there, and none that it would fetch.
    const env = { GOBIN: draft, GOTOOLCHAIN: "local", CGO_ENABLED: "0" };
    outputOf(go, ["install", `github.com/nats-io/nats-server/v2@v${VERSION}`], { cwd: draft, env });
  });
  return { path: path.join(folder, "nats-server") };
}
