import type { DatabaseSync } from "node:sqlite";
import { HeraldError } from "../../../core/errors.ts";

/** A database up to this size is checked whole whenever it is opened by the first process: some 100 ms. */
const MAX_WHOLE_BYTES = 16 * 1024 * 1024;
/** Messages that are counted for that at most. */
const MAX_COUNTED = 1_000_000;
/** Tables that stay small, whose damage would send messages to the wrong place. */
const SMALL = ["store", "channels", "lanes", "groups", "patterns"];

const UNREAD = "SELECT sum(l.appended - u.passed) AS n FROM cursors u JOIN lanes l ON l.id = u.lane_id";

/** Groups whose counter of unread messages differs from the messages that are there; a sentence each, as `problem`. */
export const MISCOUNTED = `SELECT 'group ' || coalesce(g.name, 'of a broadcast') || ' has ' || (l.appended - u.passed) ||
  ' messages of channel ' || c.name || ' to read by its counter, and ' || n.unread || ' are there' AS problem
  FROM cursors u JOIN groups g ON g.id = u.group_id JOIN lanes l ON l.id = u.lane_id JOIN channels c ON c.id = l.channel_id
  JOIN (SELECT u.group_id, u.lane_id, (SELECT count(*) FROM messages m WHERE m.lane_id = u.lane_id
    AND m.seq > max(u.seq, l.purged_seq)) AS unread FROM cursors u JOIN lanes l ON l.id = u.lane_id) n
  ON n.group_id = u.group_id AND n.lane_id = u.lane_id WHERE n.unread <> l.appended - u.passed LIMIT 20`;

/**
 * What the first process that opens a database looks at: the pages, all of them where they are few, and what is counted twice.
 * Gives a sentence for each group that would read too little or too much. Throws `STORAGE_CORRUPT` for damaged pages.
 */
export function checkStructure(sql: DatabaseSync, directory: string): readonly string[] {
  const ask = (query: string): unknown => Object.values(sql.prepare(query).get() ?? {})[0];
  const bytes = Number(ask("PRAGMA page_count")) * Number(ask("PRAGMA page_size"));
  const checks =
    bytes <= MAX_WHOLE_BYTES ? ["integrity_check(1)"] : SMALL.map((table) => `integrity_check(${table})`);
  for (const check of checks) {
    const found = String(ask(`PRAGMA ${check}`));
    if (found !== "ok") throw damaged(directory, found);
  }
  if (Number(ask(UNREAD)) > MAX_COUNTED) return [];
  return sql
    .prepare(MISCOUNTED)
    .all()
    .map(({ problem }) => String(problem));
}

function damaged(directory: string, found: string): HeraldError {
  const message = `The database in '${directory}' is damaged: ${found}. Run: herald doctor --repair --url file:${directory}`;
  return new HeraldError("STORAGE_CORRUPT", message, { details: { path: directory, found } });
}
