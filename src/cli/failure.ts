import {
  ERROR_CODES,
  describeThrown,
  isHeraldError,
  type ErrorCode,
  type HeraldError,
} from "../core/errors.ts";
import { ADVICE, FILE_FORBIDDEN, FILE_MISSING, FILE_UNREADABLE, type Advice } from "./advice.ts";
import { EXIT } from "./exit-codes.ts";
import { printable } from "./text.ts";

/** What went wrong, why, what to do, and what the process ends with. */
export interface Failure {
  readonly code: string;
  readonly exit: number;
  readonly message: string;
  readonly why: string;
  readonly hint: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What an error may say of itself in its details; it wins over what its code says. */
interface Said {
  readonly why?: unknown;
  readonly hint?: unknown;
  readonly exit?: unknown;
}

/** System errors that mean that a file is not there. */
const MISSING = new Set(["ENOENT", "ENOTDIR"]);
const NOT_PERMITTED = new Set(["EACCES", "EPERM"]);
/** Exit codes that an agent's answer may lead to; every other error of an agent is 1. */
const ANSWERS: ReadonlySet<number> = new Set([EXIT.data, EXIT.temporary, EXIT.notPermitted]);

/** Anything thrown, as a failure. Never throws. */
export function failureOf(thrown: unknown): Failure {
  if (isHeraldError(thrown)) return thrown.name === "CommandError" ? answered(thrown) : known(thrown);
  return systemFailure(thrown) ?? bug(thrown);
}

/** A failure for people: what, why and what to do, one line each. */
export function failureLines(failure: Failure): [what: string, why: string, fix: string] {
  return [printable(failure.message), printable(failure.why), printable(failure.hint)];
}

/** A failure for programs. Details that cannot be written as JSON are left out. */
export function failureJson({ code, exit, message, why, hint, details }: Failure): object {
  const said = Object.keys(details).length > 0 && isJson(details) ? { details } : {};
  return { error: { code, exit, message, why, hint, ...said } };
}

function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}

function known(error: HeraldError): Failure {
  const { code, message } = error;
  const { why, hint, exit, ...details } = error.details as Said & Record<string, unknown>;
  const advice = adviceOf(error);
  return {
    code,
    exit: typeof exit === "number" ? exit : advice.exit,
    message,
    why: typeof why === "string" ? why : advice.why,
    hint: typeof hint === "string" ? hint : advice.hint,
    details,
  };
}

function adviceOf({ code, details, cause }: HeraldError): Advice {
  if (typeof details["file"] === "string") {
    if (code === "NOT_FOUND") return FILE_MISSING;
    if (code === "INVALID_ARGUMENT")
      return NOT_PERMITTED.has(systemCode(cause)) ? FILE_FORBIDDEN : FILE_UNREADABLE;
  }
  return isCode(code) ? ADVICE[code] : ADVICE.HANDLER_FAILED;
}

/** The agent that answered reported the failure; the code is its own. */
function answered(error: HeraldError): Failure {
  const { code, message, details } = error;
  const advice = isCode(code) ? ADVICE[code] : undefined;
  const exit =
    code === "NOT_FOUND"
      ? EXIT.unavailable
      : advice !== undefined && ANSWERS.has(advice.exit)
        ? advice.exit
        : EXIT.failed;
  return {
    code,
    exit,
    message,
    why: "The agent answered with an error.",
    hint: advice?.hint ?? ADVICE.HANDLER_FAILED.hint,
    details,
  };
}

function systemFailure(thrown: unknown): Failure | undefined {
  const code = systemCode(thrown);
  const path = thrown instanceof Error && "path" in thrown ? thrown.path : undefined;
  if (code === "" || typeof path !== "string") return undefined;
  const advice = NOT_PERMITTED.has(code)
    ? FILE_FORBIDDEN
    : MISSING.has(code)
      ? FILE_MISSING
      : FILE_UNREADABLE;
  return {
    code: "NOT_FOUND",
    message: `'${path}' cannot be read (${code}).`,
    ...advice,
    details: { file: path },
  };
}

function bug(thrown: unknown): Failure {
  const { exit, why, hint } = ADVICE.INTERNAL;
  return { code: "INTERNAL", exit, message: describeThrown(thrown), why, hint, details: {} };
}

function isCode(code: string): code is ErrorCode | "USAGE" {
  return code === "USAGE" || Object.hasOwn(ERROR_CODES, code);
}

/** The code that the system gave an error, such as ENOENT; empty where it gave none. */
function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
