import type { Readable } from "node:stream";
import type { Logger } from "../core/logger.ts";
import type { Interrupt } from "./interrupt.ts";
import type { Output } from "./output.ts";

/** What a command works with beside its own arguments. */
export interface Session {
  readonly output: Output;
  readonly interrupt: Interrupt;
  readonly stdin: Readable;
  /** The logger for the agents, on stderr; loaded when first asked for. */
  readonly logger: () => Promise<Logger>;
}

/** Runs one command, which resolves to its exit code, and keeps that. */
export type Runner = (work: (session: Session) => Promise<number>) => Promise<void>;
