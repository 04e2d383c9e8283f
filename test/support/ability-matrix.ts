import { readFileSync } from "node:fs";
import { expect, type TestAPI } from "vitest";
import { abilityMatrix } from "../../src/testing/conformance/report.ts";
import type { Harness } from "../../src/testing/conformance/harness.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";

/** A table of Markdown: its lines, cell by cell. */
function cellsOf(table: string): string[][] {
  return table.split("\n").map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The column of a broker in the README's ability matrix, by ability. */
function readmeColumn(broker: string): Record<string, string> {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const table = /^\| ability \|.*(?:\n\|.*)*/m.exec(readme)?.[0] ?? "";
  const [head = [], , ...rows] = cellsOf(table);
  const at = head.indexOf(broker);
  return Object.fromEntries(rows.map((row) => [row[0] ?? "", row[at] ?? "missing"]));
}

/** Registers the test that a broker's column of the README's ability matrix is what the broker says when it is opened. */
export function standsInReadme(harness: () => Harness, it: TestAPI): void {
  it("can do what the README's ability matrix says", async () => {
    const { name, create } = harness();
    const broker = await create({ place: newPlace() });
    const abilities = await broker.open();
    await broker.close();
    const [, , ...rows] = cellsOf(abilityMatrix([{ broker: name, abilities }]));
    expect(readmeColumn(name)).toEqual(Object.fromEntries(rows));
  });
}
