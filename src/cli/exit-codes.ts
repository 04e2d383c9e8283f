/** What the process ends with. 64 to 78 are those of BSD's sysexits.h; 130 and 143 are the shell's for a signal. */
export const EXIT = {
  done: 0,
  failed: 1,
  /** Some of many failed. */
  partly: 2,
  /** A check did not hold. */
  check: 3,
  usage: 64,
  /** A message or a manifest does not match its schema. */
  data: 65,
  noInput: 66,
  /** No broker, or no agent that answers. */
  unavailable: 69,
  /** A bug of this program. */
  bug: 70,
  /** Timed out, or full: try again. */
  temporary: 75,
  notPermitted: 77,
  config: 78,
  interrupted: 130,
  terminated: 143,
} as const;

/** How many of several things failed, as an exit code: none, some, or all of them with `all`. */
export function exitOfMany(failed: number, total: number, all: number): number {
  if (failed === 0) return EXIT.done;
  return failed < total ? EXIT.partly : all;
}
