import path from "node:path";

const FOLDER = path.resolve(import.meta.dirname, "../fixtures");

/** The path of a manifest among the fixtures, by its agent's name. */
export function manifest(name: string): string {
  return path.join(FOLDER, `${name}.yaml`);
}

/** `--manifest` with these agents, at the end of a command line. */
export function withAgents(...names: string[]): string[] {
  return ["--manifest", ...names.map(manifest)];
}
