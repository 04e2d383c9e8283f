import type { EventLog, StreamHead } from "../../core/store.ts";
import { chainHash } from "./event.ts";

/** A version of a stream and the hash that it had. */
export type Anchor = StreamHead;

/** What looking at a stream's chain came to. */
export type Verified =
  | { readonly ok: true; readonly version: number; readonly hash: string }
  | {
      readonly ok: false;
      /** The version of the first event that does not fit; the events before it are what was stored. */
      readonly version: number;
      /** `changed`: the event, its place or its hash is not what was stored. `missing`: it is not there. `anchor`: it is not the one that was noted. */
      readonly reason: "changed" | "missing" | "anchor";
    };

const PAGE = 500;

/** Reads a stream from its first event and names the first one that breaks the chain. */
export async function verifyStream(log: EventLog, stream: string, anchor?: Anchor): Promise<Verified> {
  const wanted = await log.head(stream);
  let head: StreamHead = { version: 0, hash: "" };
  for (;;) {
    const events = await log.read(stream, head.version, PAGE);
    if (events.length === 0) break;
    for (const { version, body, hash } of events) {
      const at = head.version + 1;
      if (version !== at) return { ok: false, version: at, reason: "missing" };
      if (chainHash(stream, head, body) !== hash) return { ok: false, version: at, reason: "changed" };
      if (anchor?.version === at && anchor.hash !== hash) return { ok: false, version: at, reason: "anchor" };
      head = { version, hash };
    }
  }
  const least = Math.max(wanted.version, anchor?.version ?? 0);
  if (head.version < least) return { ok: false, version: head.version + 1, reason: "missing" };
  if (head.version === wanted.version && head.hash !== wanted.hash)
    return { ok: false, version: head.version, reason: "changed" };
  return { ok: true, ...head };
}
