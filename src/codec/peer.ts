import { createRequire } from "node:module";
import { HeraldError } from "../core/errors.ts";

const require = createRequire(import.meta.url);

/**
 * A package that only who uses it has to install. Loaded when first asked for; `UNSUPPORTED`, naming it, where it is missing.
 * `module` is the part of the package that is loaded. Default: all of it.
 */
export function peer(name: string, why: string, module: string = name): () => unknown {
  let loaded: unknown;
  return () => (loaded ??= load(name, why, module));
}

function load(name: string, why: string, module: string): unknown {
  try {
    return require(module) as unknown;
  } catch (cause) {
    const message = `${why} needs the package '${name}': add it with npm install ${name}.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { package: name }, cause });
  }
}
