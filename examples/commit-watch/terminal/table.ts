import { styleText } from "node:util";
import { totalOf, type ChannelAccount, type Counts } from "./account.ts";

/** The most important first: what does not fit the terminal is left out. */
const COLUMNS: readonly (readonly [key: keyof Counts, title: string])[] = [
  ["published", "published"],
  ["handled", "handled"],
  ["retried", "retried"],
  ["deadLettered", "dead"],
  ["perSecond", "per s"],
  ["p95LatencyMs", "p95 ms"],
  ["filtered", "filtered"],
  ["carried", "carried"],
  ["repeated", "repeated"],
  ["waiting", "waiting"],
  ["p50LatencyMs", "p50 ms"],
];
/** Left out where there was none: only a run that goes on has any. */
const RARE: readonly (keyof Counts)[] = ["carried", "repeated"];
const GAP = 2;

/** Colours text for a terminal, and for nothing else: NO_COLOR and a stdout that is no terminal are honoured. */
export function paint(format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, text, { stream: process.stdout });
}

/** The account as lines of at most `width` columns: a head, a row a channel, the total. */
export function tableOf(rows: readonly ChannelAccount[], width: number): string[] {
  const nameWidth = Math.max(...rows.map(({ channel }) => shown(channel).length), 0);
  const total = totalOf(rows);
  const columns = COLUMNS.filter(([key]) => !RARE.includes(key) || (total as Partial<Counts>)[key] !== 0);
  const fitting = columns.filter((_column, at) => nameWidth + widthOf(columns.slice(0, at + 1)) <= width);
  const line = (name: string, cells: Partial<Counts>): string =>
    name.padEnd(nameWidth) + fitting.map((column) => cellText(column, cells)).join("");
  const head = "channel".padEnd(nameWidth) + fitting.map(([, title]) => " ".repeat(GAP) + title).join("");
  return [
    paint("bold", head),
    ...rows.map((row) => line(shown(row.channel), row)),
    paint("bold", line("total", total)),
  ];
}

/** Colour only stresses what the column's title says as well. */
function cellText([key, title]: (typeof COLUMNS)[number], cells: Partial<Counts>): string {
  const value = cells[key];
  const text = value === undefined ? "" : key.endsWith("Ms") ? value.toFixed(1) : String(Math.round(value));
  const cell = text.padStart(GAP + title.length);
  if (value === undefined || value === 0) return cell;
  if (key === "retried") return paint("yellow", cell);
  return key === "deadLettered" ? paint("red", cell) : cell;
}

/** `agent.triage.commands.open_incident` is told as `triage: open_incident`. */
function shown(channel: string): string {
  return channel.replace(/^agent\.([^.]+)\.commands\./, "$1: ");
}

function widthOf(columns: typeof COLUMNS): number {
  return columns.reduce((sum, [, title]) => sum + GAP + title.length, 0);
}
