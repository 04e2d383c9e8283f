import path from "node:path";
import { aptInstall, whyNoApt } from "./apt.ts";
import { onPath, outputOf } from "./found.ts";

const OLDEST_JAVA = 17;

/** For servers that live for seconds: what the second compiler and other collectors would gain is not worth their time. */
export const SHORT_LIVED = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"] as const;

/**
 * The path of a Java that is new enough, with Maven beside it: both are installed where that takes no more than being root on
 * Debian. Throws the reason where they cannot be had.
 */
export function javaTools(): string {
  const missing = lacking();
  if (missing !== undefined) {
    const why = whyNoApt();
    if (why !== undefined) throw new Error(`there is no ${missing} on the PATH, and ${why}`);
    aptInstall(["maven", "default-jre-headless"]);
  }
  const still = lacking();
  if (still !== undefined) throw new Error(`there is no ${still} on the PATH`);
  return java() as string;
}

function lacking(): string | undefined {
  if (java() === undefined) return `Java ${OLDEST_JAVA}`;
  return onPath("mvn") === undefined ? "Maven" : undefined;
}

function java(): string | undefined {
  const home = process.env["JAVA_HOME"];
  const file = home === undefined ? onPath("java") : path.join(home, "bin", "java");
  if (file === undefined) return undefined;
  const version = /\d+/.exec(outputOf(file, ["--version"]))?.[0];
  return Number(version) >= OLDEST_JAVA ? file : undefined;
}
