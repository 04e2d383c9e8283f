import {
  chmodSync,
  closeSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

/**
 * Makes the programs in a folder of an unpacked tree run with the C library of the tree, which may be newer than the
 * machine's: each becomes a script that hands it to the tree's own loader. `home` is where the tree will lie.
 */
export function withOwnLibraries(tree: string, folder: string, home: string): void {
  const root = path.join(tree, "usr/lib");
  const name = readdirSync(root).find((entry) => entry.endsWith("-linux-gnu")) as string;
  const loader = readdirSync(path.join(root, name)).find((entry) => entry.startsWith("ld-linux-")) as string;
  const libraries = path.join(home, "usr/lib", name);
  const call = `"${path.join(libraries, loader)}" --library-path "${libraries}"`;
  for (const file of programsIn(path.join(tree, folder))) {
    const real = `${file}.elf`;
    renameSync(file, real);
    writeFileSync(file, `#!/bin/sh\nexec ${call} "${path.join(home, path.relative(tree, real))}" "$@"\n`);
    chmodSync(file, 0o755);
  }
}

function programsIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".so"))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => (statSync(file).mode & 0o100) !== 0 && isElf(file));
}

function isElf(file: string): boolean {
  const opened = openSync(file, "r");
  const magic = Buffer.alloc(4);
  readSync(opened, magic);
  closeSync(opened);
  return magic.toString("latin1") === "\x7FELF";
}
