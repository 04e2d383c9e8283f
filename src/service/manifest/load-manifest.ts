import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { HeraldError } from "../../core/errors.ts";
import { readManifest } from "./read-manifest.ts";
import type { ManifestReport } from "./report.ts";
import { MAX_MANIFEST_BYTES } from "./yaml-document.ts";

/**
 * Reads a manifest file. Rejects with `NOT_FOUND` when there is no such file and with `INVALID_ARGUMENT` when it cannot be read
 * or is no ordinary file; what is wrong inside it is in the report. Never reads more than 1 MiB.
 */
export async function loadManifest(path: string): Promise<ManifestReport> {
  return readManifest(await readManifestFile(path), { file: path });
}

/** The text of a manifest file. Rejects as {@link loadManifest} does. */
export async function readManifestFile(path: string): Promise<string> {
  // Without waiting: a named pipe would otherwise hold the caller until somebody writes to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    return decode(await readBounded(file, path), path);
  } finally {
    await file.close();
  }
}

/** A byte more than is allowed is enough to know that the file is too large, also if it grows while it is read. */
async function readBounded(file: FileHandle, path: string): Promise<Uint8Array> {
  const stats = await file.stat();
  if (!stats.isFile()) {
    throw new HeraldError(
      "INVALID_ARGUMENT",
      `'${path}' is not an ordinary file: name the manifest's file.`,
      { details: { file: path } },
    );
  }
  const buffer = Buffer.alloc(Math.min(stats.size, MAX_MANIFEST_BYTES) + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    // A file that is cut off at the limit may end inside a character; it is refused for its size.
    return new TextDecoder("utf-8", { fatal: bytes.length <= MAX_MANIFEST_BYTES }).decode(bytes);
  } catch (cause) {
    throw new HeraldError("INVALID_ARGUMENT", `'${path}' is not UTF-8 text: save the manifest as UTF-8.`, {
      cause,
      details: { file: path },
    });
  }
}

function unreadable(path: string, cause: unknown): HeraldError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
  const details = { file: path };
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new HeraldError("NOT_FOUND", `There is no file '${path}': check the path of the manifest.`, {
      cause,
      details,
    });
  }
  return new HeraldError(
    "INVALID_ARGUMENT",
    `'${path}' cannot be read (${code}): check that it is a file and that you may read it.`,
    { cause, details },
  );
}
