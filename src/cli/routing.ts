import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { loadRouting, type Routing, type RoutingOptions } from "../service/routes/routing.ts";

type Functions = NonNullable<RoutingOptions["functions"]>;

const ENDINGS = [".ts", ".js", ".mjs"];

/**
 * The rules of routing files. Transforms of type `custom` are the functions that the module beside a file exports: `team.yaml`
 * goes with `team.ts`, `.js` or `.mjs`. Rejects as `loadRouting` does, and with what importing a module throws.
 */
export async function routingOf(files: readonly string[]): Promise<Routing> {
  const modules = await Promise.all(files.map(importBeside));
  const functions = Object.entries(Object.assign({}, ...modules) as Record<string, unknown>).filter(
    ([, value]) => typeof value === "function",
  );
  return loadRouting(files, { functions: Object.fromEntries(functions) as Functions });
}

async function importBeside(file: string): Promise<object> {
  const base = path.resolve(file).replace(/\.(ya?ml|json)$/i, "");
  const found = ENDINGS.map((ending) => base + ending).find((candidate) => existsSync(candidate));
  return found === undefined ? {} : ((await import(pathToFileURL(found).href)) as object);
}
