import { spawnSync } from "node:child_process";

/** What a server is started from, or why it cannot be had. */
export type Found<T extends object = { readonly path: string }> =
  | (T & { readonly why?: never })
  | ({ readonly why: string } & { readonly [K in keyof T]?: never });

/** The path of a program that the shell would find. */
export function onPath(program: string): string | undefined {
  const which = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" });
  return which.status === 0 ? which.stdout.trim() : undefined;
}

/** The first `major.minor` in a text, as a number that can be compared: 2.10 is 2010. NaN where there is none. */
export function versionIn(text: string): number {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(text) ?? [];
  return Number(major) * 1000 + Number(minor);
}

/** The first of several ways to find something that finds it; else the reason of the last, or the words of what it throws. */
export function firstFound<T extends object>(
  ways: readonly [() => Found<T>, ...(() => Found<T>)[]],
): Found<T> {
  const [first, ...others] = ways;
  return others.reduce((found, next) => (found.why === undefined ? found : tried(next)), tried(first));
}

function tried<T extends object>(find: () => Found<T>): Found<T> {
  try {
    return find();
  } catch (error) {
    return { why: (error as Error).message } as Found<T>;
  }
}

/** What a program prints. Throws an error that ends with its last words when it fails. */
export function outputOf(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): string {
  const env = { ...process.env, ...options.env };
  const run = spawnSync(program, args, { ...options, env, encoding: "utf8", maxBuffer: 2 ** 26 });
  if (run.status === 0) return run.stdout;
  const words = `${run.stdout ?? ""}\n${run.stderr ?? ""}`.trim().split("\n").slice(-3).join(" ");
  throw new Error(`${program} ${args[0] ?? ""} failed: ${run.error?.message ?? words}`);
}
