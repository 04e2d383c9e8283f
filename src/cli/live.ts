import { accountLine, accountTable, type Account } from "./account.ts";
import type { Output } from "./output.ts";
import { cut } from "./text.ts";

const REDRAW_MS = 250;
const LINE_MS = 10_000;

/**
 * Shows what happens while it happens, on stderr: on a terminal a table that is drawn again, elsewhere one line every ten
 * seconds, nothing at all when quiet or when programs read. The function that it returns takes it away.
 */
export function showLive(output: Output, account: () => Account): () => void {
  if (output.options.quiet || output.options.json) return () => {};
  const startedAt = performance.now();
  const draw = (): void => {
    const now = account();
    const line = accountLine(now, performance.now() - startedAt);
    if (!output.canDraw) output.stderr(line);
    else output.draw(fitting([...accountTable(now, output), cut(line, output.width)], output.errorRows - 1));
  };
  const timer = setInterval(draw, output.canDraw ? REDRAW_MS : LINE_MS);
  return () => {
    clearInterval(timer);
    output.draw([]);
  };
}

/** What is taller than the terminal could not be drawn over. */
function fitting(lines: readonly string[], rows: number): readonly string[] {
  return lines.length <= rows ? lines : [...lines.slice(0, rows - 2), "…", ...lines.slice(-1)];
}
