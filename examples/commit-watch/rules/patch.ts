/** One line that a patch adds or takes away. */
export interface PatchLine {
  /** Its number in the new file; for a removed line the number of the line that follows it there. */
  readonly line: number;
  readonly text: string;
}

/** What a patch adds and takes away. */
export interface Changes {
  readonly added: readonly PatchLine[];
  readonly removed: readonly PatchLine[];
}

const HUNK = /^(@@+) [^+]*\+(\d+)/;

/**
 * The changed lines of a patch. The patch of a merge has a column of signs for each parent: a line counts only when it
 * differs from all of them.
 */
export function changesOf(patch: string): Changes {
  const added: PatchLine[] = [];
  const removed: PatchLine[] = [];
  let line = 0;
  let columns = 1;
  for (const text of patch.split("\n")) {
    const [hunk, ats = "", start] = HUNK.exec(text) ?? [];
    if (hunk !== undefined) {
      columns = ats.length - 1;
      line = Number(start);
      continue;
    }
    if (text.startsWith("\\")) continue;
    const signs = text.slice(0, columns);
    const change = { line, text: text.slice(columns) };
    if (signs === "+".repeat(columns)) added.push(change);
    if (signs === "-".repeat(columns)) removed.push(change);
    if (!signs.includes("-")) line++;
  }
  return { added, removed };
}
