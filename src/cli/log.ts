import { pino } from "pino";
import type { Logger } from "../core/logger.ts";
import type { Output } from "./output.ts";
import { escapeJson, jsonText, printable, wrap } from "./text.ts";

const LEVELS: Readonly<Record<number, readonly [name: string, state: "faint" | "good" | "waiting" | "bad"]>> =
  {
    20: ["debug", "faint"],
    30: ["info", "good"],
    40: ["warn", "waiting"],
    50: ["error", "bad"],
  };

/** A pino logger on stderr: warnings and errors, everything with `verbose`, errors alone with `quiet`; pino's own lines with `json`. */
export function createLogger(output: Output): Logger {
  const { quiet, verbose, json } = output.options;
  const level = verbose ? "debug" : quiet ? "error" : "warn";
  const write = (line: string): void =>
    output.stderr(json ? escapeJson(line.trimEnd()) : readable(line, output));
  return pino({ level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, { write });
}

function readable(line: string, output: Output): string {
  const entry: Record<string, unknown> = JSON.parse(line);
  const { level, time, msg, err, ...fields } = entry;
  const [name, state] = LEVELS[Number(level)] ?? [String(level), "faint"];
  const { verbose } = output.options;
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === "string" ? value : jsonText(value)}`,
  );
  const text = [String(msg), ...(verbose ? rest : [])].join(" ");
  const [head = "", ...more] = wrap(
    printable(`${String(time).slice(11, 23)}Z ${name} ${text}`),
    output.errorWidth,
    "",
    "  ",
  );
  const painted = head.replace(` ${name} `, ` ${output.paintError(state, name)} `);
  return [painted, ...more, ...(verbose ? stackOf(err) : [])].join("\n");
}

/** Where an error came from, a line a frame. */
function stackOf(error: unknown): string[] {
  const stack = typeof error === "object" && error !== null && "stack" in error ? error.stack : undefined;
  if (typeof stack !== "string") return [];
  return stack
    .split("\n")
    .slice(1)
    .map((frame) => `    ${printable(frame.trim())}`);
}
