import { describeThrown, HeraldError, isHeraldError, type ErrorCode } from "../../../core/errors.ts";

/** A place that files of messages must not be kept in. `remedy` is a sentence. Code `UNSAFE_STORAGE`. */
export function unsafeStorage(path: string, why: string, remedy: string): HeraldError {
  return new HeraldError("UNSAFE_STORAGE", `'${path}' ${why}. ${remedy}`, { details: { path } });
}

const REASONS: Readonly<Record<string, readonly [code: ErrorCode, why: string, remedy: string]>> = {
  ENOSPC: ["STORAGE_FULL", "has no room left", "Free some space and try again."],
  EDQUOT: ["STORAGE_FULL", "is over its quota", "Free some space and try again."],
  EROFS: [
    "FORBIDDEN",
    "lies on a file system that is read-only",
    "Choose another directory, or mount it writable.",
  ],
  EACCES: [
    "FORBIDDEN",
    "may not be used by this process",
    "Correct its permissions, or choose another directory.",
  ],
  EPERM: [
    "FORBIDDEN",
    "may not be used by this process",
    "Correct its permissions, or choose another directory.",
  ],
  ENOENT: ["STORAGE_GONE", "is not there", "Make its parent directory, or name another."],
};

/** What the system answered about a directory or a file of the storage, as a named error; one of Herald stays as it is. */
export function systemError(thrown: unknown, path: string): HeraldError {
  if (isHeraldError(thrown)) return thrown;
  const { code } = thrown as NodeJS.ErrnoException;
  const [name, why, remedy] = REASONS[code ?? ""] ?? [
    "INTERNAL",
    "cannot be used",
    "See what the system says.",
  ];
  const message = `The storage '${path}' ${why} (${describeThrown(thrown)}). ${remedy}`;
  return new HeraldError(name, message, { details: { path }, cause: thrown });
}

/** True for an error that the system named: of a file, not of SQLite. */
export function isSystemError(thrown: unknown): boolean {
  return Object.hasOwn(REASONS, String((thrown as { readonly code?: unknown } | null)?.code));
}
