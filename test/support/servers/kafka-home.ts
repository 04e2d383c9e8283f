import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { cacheFolder, filledOnce } from "./cache.ts";
import { firstFound, outputOf, type Found } from "./found.ts";
import { javaTools } from "./java-tools.ts";

/** What a Kafka is started from. */
export interface KafkaHome {
  readonly java: string;
  /** Every jar, in an order that stays. */
  readonly classPath: string;
  /** A folder with `formatted`, the storage of a node that never ran, and `classes.jsa`, which halves the start. */
  readonly prepared: string;
}

const POM = path.join(import.meta.dirname, "kafka-pom.xml");
const PREPARE = path.join(import.meta.dirname, "kafka-prepare.ts");

let found: Found<KafkaHome> | undefined;

/**
 * The Apache Kafka of `kafka-pom.xml`, which Maven fetches. Maven and Java are installed where that takes no more than being
 * root on Debian.
 */
export function kafkaHome(): Found<KafkaHome> {
  found ??= firstFound([find]);
  return found;
}

function find(): Found<KafkaHome> {
  const java = javaTools();
  const pom = readFileSync(POM, "utf8");
  const version = /<kafka\.version>(.+)<\/kafka\.version>/.exec(pom)?.[1] as string;
  const name = `kafka-${version}-${shortHash(pom)}`;
  const jars = filledOnce(cacheFolder(name), fetch);
  const files = readdirSync(jars).toSorted();
  const classPath = files.map((file) => path.join(jars, file)).join(path.delimiter);
  const runtime = shortHash(outputOf(java, ["--version"]) + readFileSync(PREPARE, "utf8") + classPath);
  const prepared = filledOnce(cacheFolder(`${name}-${runtime}`), (draft) => {
    outputOf(process.execPath, [PREPARE, java, classPath, draft]);
  });
  return { java, classPath, prepared };
}

function fetch(draft: string): void {
  process.stderr.write("herald: fetching Apache Kafka, once; it takes a minute …\n");
  const what = ["-DincludeScope=runtime", `-DoutputDirectory=${draft}`];
  outputOf("mvn", ["-f", POM, "-B", "-q", "dependency:copy-dependencies", ...what], { cwd: draft });
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
