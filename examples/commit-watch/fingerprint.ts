import { createHash, createHmac, randomBytes } from "node:crypto";
import type { Finding } from "./channels.ts";

let key: Uint8Array = randomBytes(32);

/** Takes the key of a run that goes on: the same weakness has to get the same fingerprint as before. */
export function useFingerprintKey(ofTheRun: Uint8Array): void {
  key = ofTheRun;
}

/** The same for the same text in one run. Without the key it tells nobody anything about the text, a secret perhaps. */
export function fingerprintOf(text: string): string {
  return createHmac("sha256", key).update(text).digest("hex").slice(0, 16);
}

/** One finding, in one place of one commit: the id of its message. */
export function findingId({ sha, fingerprint, path, line }: Finding): string {
  const place = createHash("sha256").update(`${path}:${line}`).digest("hex").slice(0, 16);
  return `${sha}:${fingerprint}:${place}`;
}
