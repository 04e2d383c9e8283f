import { createReadStream } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Commit } from "../channels.ts";

/** The history that the example carries: invented, one commit a line, the oldest first. */
export const SAMPLE_FILE = path.join(import.meta.dirname, "..", "sample-history.jsonl");

/** The commits of the sample, or only the newest of them. */
export async function* readSample(limit = Infinity): AsyncGenerator<Commit, void, undefined> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: createReadStream(SAMPLE_FILE) })) {
    if (line.trim() !== "") lines.push(line);
  }
  for (const line of lines.slice(-limit)) yield JSON.parse(line) as Commit;
}
