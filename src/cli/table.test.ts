import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { table, type Column } from "./table.ts";
import { widthOf } from "./text.ts";

interface Row {
  readonly name: string;
  readonly size: number | null;
  readonly note: string;
}

const columns: Column<Row>[] = [
  { title: "NAME", value: ({ name }) => name, min: 6 },
  { title: "SIZE", value: ({ size }) => size },
  { title: "NOTE", value: ({ note }) => note, optional: true },
];
const rows: Row[] = [
  { name: "orders.created", size: 7, note: "first" },
  { name: "a", size: 1234, note: "second" },
];

describe("table", () => {
  it("puts texts to the left and numbers to the right, with titles above", () => {
    expect(table(columns, rows, 80)).toEqual([
      "NAME            SIZE  NOTE",
      "orders.created     7  first",
      "a               1234  second",
    ]);
  });

  it("cuts the columns that allow it before it leaves any out", () => {
    expect(table(columns, rows, 24)).toEqual([
      "NAME        SIZE  NOTE",
      "orders.cr…     7  first",
      "a           1234  second",
    ]);
  });

  it("leaves out the optional columns where cutting is not enough", () => {
    expect(table(columns, rows, 19)).toEqual(
      ["NAME           SIZE", "orders.creat…     7", "a              1234"].map((line) => line.trimEnd()),
    );
  });

  it("leaves out a number that does not fit, instead of cutting it to another number", () => {
    expect(table(columns, rows, 11)).toEqual(["NAME", "orders.cre…", "a"]);
  });

  it("shows an unknown number as a dash and makes hostile text printable", () => {
    const [, line] = table(columns, [{ name: "x\u001b[2J", size: null, note: "" }], 80);
    expect(line).toBe("x\\u{1b}[2J     -");
  });

  it("colours a cell after it was cut, so that colour takes no room", () => {
    const red: Column<Row> = {
      ...columns[0],
      title: "NAME",
      value: ({ name }) => name,
      min: 4,
      paint: (cell) => `<${cell}>`,
    };
    expect(table([red], [rows[0] as Row], 6)[1]).toBe("<order…>");
  });

  it("is never wider than the terminal", () => {
    const anyRow = fc.record({
      name: fc.string({ unit: "grapheme" }),
      size: fc.option(fc.nat()),
      note: fc.string(),
    });
    fc.assert(
      fc.property(fc.array(anyRow), fc.integer({ min: 4, max: 120 }), (some, width) => {
        for (const line of table(columns, some, width)) expect(widthOf(line)).toBeLessThanOrEqual(width);
      }),
    );
  });
});
