import { cut, pad, printable, widthOf } from "./text.ts";

/** One column of a table. */
export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null;
  /** May be cut down to this many columns where the terminal is narrow. Default: never cut. */
  readonly min?: number;
  /** Left out where the terminal is narrow, the last one first. */
  readonly optional?: boolean;
  /** Colours the finished cell; the word in it must say the same. */
  readonly paint?: (cell: string, row: Row) => string;
}

interface Fitted<Row> {
  readonly column: Column<Row>;
  readonly cells: readonly (string | number | null)[];
  readonly numeric: boolean;
  width: number;
}

const GAP = "  ";
/** A column that would be cut to less than this says nothing. */
const LEAST = 4;

/**
 * The lines of a table that is no wider than `width`: titles first, numbers to the right. Too little room cuts the columns
 * that allow it, then leaves out the optional ones, then those at the end; nothing wraps. Values are made printable.
 */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string[] {
  const fitted = columns.map((column) => measure(column, rows));
  while (!shrink(fitted, width)) {
    const at = fitted.findLastIndex(({ column }) => column.optional === true);
    if (at < 0) break;
    fitted.splice(at, 1);
  }
  clip(fitted, width);
  const head = line(fitted.map((column) => align(column, column.column.title)));
  const body = rows.map((row, at) => line(fitted.map((column) => cell(column, row, at))));
  return [head, ...body];
}

function measure<Row>(column: Column<Row>, rows: readonly Row[]): Fitted<Row> {
  const values = rows.map((row) => column.value(row));
  const cells = values.map((value) => (typeof value === "string" ? printable(value) : value));
  const widths = cells.map((value) => widthOf(textOf(value)));
  const numeric = values.length > 0 && values.every((value) => typeof value !== "string");
  return { column, cells, numeric, width: Math.max(column.title.length, ...widths) };
}

/** Takes columns from the widest that may be cut until the table fits; false when that is not enough. */
function shrink<Row>(fitted: Fitted<Row>[], width: number): boolean {
  let over = total(fitted) - width;
  const wanted = fitted.map((column) => column.width);
  while (over > 0) {
    const room = fitted.filter((column) => column.width > (column.column.min ?? Infinity));
    const widest = room.reduce<Fitted<Row> | undefined>(
      (most, column) => (most === undefined || column.width > most.width ? column : most),
      undefined,
    );
    if (widest === undefined) {
      // What comes next leaves a column out: the others start from their full width again.
      fitted.forEach((column, at) => (column.width = wanted[at] ?? column.width));
      return false;
    }
    widest.width--;
    over--;
  }
  return true;
}

/** Cuts what still lies beyond the width, and leaves out the columns behind it. */
function clip<Row>(fitted: Fitted<Row>[], width: number): void {
  let start = 0;
  for (const [at, column] of fitted.entries()) {
    const room = width - start;
    if (column.width > room) {
      // Half a number would be another number.
      const stays = at === 0 || (room >= LEAST && !column.numeric);
      column.width = Math.max(1, room);
      fitted.length = at + (stays ? 1 : 0);
      return;
    }
    start += column.width + GAP.length;
  }
}

function total<Row>(fitted: readonly Fitted<Row>[]): number {
  return fitted.reduce((sum, column) => sum + column.width, GAP.length * (fitted.length - 1));
}

function cell<Row>(fitted: Fitted<Row>, row: Row, at: number): string {
  const text = align(fitted, textOf(fitted.cells[at] ?? null));
  return fitted.column.paint?.(text, row) ?? text;
}

function align<Row>({ width, numeric }: Fitted<Row>, text: string): string {
  return pad(cut(text, width), width, numeric ? "right" : "left");
}

function line(cells: readonly string[]): string {
  return cells.join(GAP).trimEnd();
}

function textOf(value: string | number | null): string {
  return value === null ? "-" : String(value);
}
