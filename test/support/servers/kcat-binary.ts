import { installedByApt } from "./apt.ts";
import { firstFound, onPath, type Found } from "./found.ts";

let found: Found | undefined;

/** The machine's kcat; it is installed where that takes no more than being root on Debian. */
export function kcatBinary(): Found {
  found ??= firstFound([present, installed]);
  return found;
}

function present(): Found {
  const path = onPath("kcat");
  return path === undefined ? { why: "there is no kcat on the PATH" } : { path };
}

function installed(): Found {
  return installedByApt("kcat", { packages: ["kcat"], services: [] }, present);
}
