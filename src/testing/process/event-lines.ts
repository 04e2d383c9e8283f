import { writeSync } from "node:fs";
import type { HistoryEntry } from "../checker/history.ts";
import type { ChildNotice } from "./spec.ts";

const STDOUT = 1;

/** The machine's monotonic clock, the same in every process of the machine. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Writes what happens to standard output, one line each, before it returns: what a killed process did is known. */
export class EventLines {
  readonly #epochMs: number;

  /** `epochMs`: what the epoch was when the machine's monotonic clock was 0. */
  constructor(epochMs: number) {
    this.#epochMs = epochMs;
  }

  /**
   * Epoch milliseconds as every process of the run tells them. Read from the one clock that all share each time: a process
   * that lost the processor between two clocks would tell a time of its own for ever.
   */
  now(): number {
    return this.#epochMs + machineMs();
  }

  add(entry: HistoryEntry | ChildNotice): void {
    const line = Buffer.from(`${JSON.stringify({ ...entry, at: this.now() })}\n`);
    let from = 0;
    while (from < line.length) {
      try {
        from += writeSync(STDOUT, line, from);
      } catch (error) {
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
      }
    }
  }
}
