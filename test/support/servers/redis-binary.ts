import { installedByApt } from "./apt.ts";
import { firstFound, onPath, type Found } from "./found.ts";

let found: Found | undefined;

/** The machine's redis-server; it is installed where that takes no more than being root on Debian. */
export function redisBinary(): Found {
  found ??= firstFound([present, installed]);
  return found;
}

function present(): Found {
  const path = onPath("redis-server");
  return path === undefined ? { why: "there is no redis-server on the PATH" } : { path };
}

function installed(): Found {
  const packages = ["redis-server", "redis-tools"];
  return installedByApt("redis-server", { packages, services: ["redis-server"] }, present);
}
