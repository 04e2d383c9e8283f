import type { Delivery } from "../core/delivery.ts";
import { MAX_FAILURES } from "../core/limits.ts";
import { attemptsFor } from "./retry.ts";

/** Attempts in a row that ended without a word before a message is held to be what ended them. */
const SILENT = 2;

/**
 * True for a message that may be what kills its processes: attempts of it ended without a word, twice, or once and this is
 * its last. It runs alone, so that it takes nobody along who was only beside it.
 */
export function isSuspect({ attempt, envelope, failures }: Delivery, maxAttempts: number): boolean {
  // Without a limit attempts are not counted, or mean nothing; of one with all the failures that are kept, nobody knows how many there were.
  if (attempt === 1 || maxAttempts === Infinity || failures.length >= MAX_FAILURES) return false;
  const silent = attempt - 1 - failures.length;
  return silent >= SILENT || (silent > 0 && attempt === attemptsFor(envelope, maxAttempts));
}
