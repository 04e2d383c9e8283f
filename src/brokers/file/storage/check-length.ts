import { statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { HeraldError } from "../../../core/errors.ts";
import type { PreparedStorage } from "./prepare-storage.ts";

/**
 * Throws `STORAGE_CORRUPT` where the database is shorter than it says of itself and no log makes up for it: SQLite would find
 * that out page by page.
 */
export function checkLength(
  sql: DatabaseSync,
  file: string,
  { identity, isLogEmpty }: PreparedStorage,
): void {
  if (!isLogEmpty) return;
  const number = (pragma: string): number =>
    Number(Object.values(sql.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  const wanted = number("page_count") * number("page_size");
  const { size } = statSync(file);
  if (size >= wanted) return;
  const { directory } = identity;
  const message = `The database in '${directory}' was cut: it has ${size} bytes of ${wanted}. Run: herald doctor --repair --url file:${directory}`;
  throw new HeraldError("STORAGE_CORRUPT", message, { details: { path: directory, size, wanted } });
}
