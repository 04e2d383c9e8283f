import type { Logger } from "../../core/logger.ts";
import type { LogLevel } from "./known.ts";

const ORDER: readonly LogLevel[] = ["debug", "info", "warn", "error", "silent"];

/** A logger that passes on what is at least as grave as `level`. */
export function levelled(logger: Logger, level: LogLevel): Logger {
  const least = ORDER.indexOf(level);
  const pass =
    (name: Exclude<LogLevel, "silent">) =>
    (fields: object, message: string): void => {
      if (ORDER.indexOf(name) >= least) logger[name](fields, message);
    };
  return { debug: pass("debug"), info: pass("info"), warn: pass("warn"), error: pass("error") };
}
