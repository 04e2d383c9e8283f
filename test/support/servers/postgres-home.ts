import { existsSync, readdirSync, realpathSync } from "node:fs";
import path from "node:path";
import { installedByApt } from "./apt.ts";
import { firstFound, onPath, type Found } from "./found.ts";

const DEBIAN = "/usr/lib/postgresql";

let found: Found | undefined;

/** The folder of the machine's PostgreSQL programs; it is installed where that takes no more than being root on Debian. */
export function postgresHome(): Found {
  found ??= firstFound([present, installed]);
  return found;
}

function present(): Found {
  const program = onPath("postgres");
  if (program !== undefined) return { path: path.dirname(realpathSync(program)) };
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).map(Number).filter(Number.isFinite) : [];
  const newest = path.join(DEBIAN, String(Math.max(...versions)), "bin");
  return existsSync(path.join(newest, "postgres"))
    ? { path: newest }
    : { why: "there is no postgres on the PATH" };
}

function installed(): Found {
  return installedByApt("postgres", { packages: ["postgresql"], services: ["postgresql"] }, present);
}
