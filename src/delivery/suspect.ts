import type { Delivery } from "../core/delivery.ts";
import { attemptsFor } from "./retry.ts";

/** Attempts in a row that ended without a word before a message is held to be what ended them. */
const SILENT = 2;
/** Brokers keep no more failures than these: of a message that failed so often, nobody can say how often it was silent. */
const KNOWN_FAILURES = 20;

/**
 * True for a message that may be what kills its processes: attempts of it ended without a word, twice, or once and this is
 * its last. It runs alone, so that it takes nobody along who was only beside it.
 */
export function isSuspect({ attempt, envelope, failures }: Delivery, maxAttempts: number): boolean {
  // Without a limit attempts are not counted, or mean nothing.
  if (attempt === 1 || maxAttempts === Infinity || failures.length >= KNOWN_FAILURES) return false;
  const silent = attempt - 1 - failures.length;
  return silent >= SILENT || (silent > 0 && attempt === attemptsFor(envelope, maxAttempts));
}
