import { createHash } from "node:crypto";
import type { BrokerAdmin } from "../core/broker.ts";
import { attributesOf } from "../core/cloudevents.ts";
import { JSON_TYPE, NO_HEADERS, type Envelope } from "../core/envelope.ts";
import { conversationOf, isBudgetHeader } from "../delivery/budget.ts";
import { isDeadLetter, isOwnHeader } from "../delivery/dead-letter.ts";
import { canonicalJson } from "./canonical.ts";

/** What {@link verifyConversation} found. */
export type Provenance =
  /** Every message is as it was published; `hash` is over all of them: kept elsewhere, it proves the last ones too. */
  | { readonly ok: true; readonly messages: number; readonly hash: string }
  /**
   * The first message, in the order of causes, that is not. `changed`: it is not what its hash, or the hash that a message caused by
   * it carries, says. `unsealed`: it has no hash. `missing`: a message names it as its cause and it is not there.
   */
  | {
      readonly ok: false;
      readonly id: string;
      readonly channel: string | undefined;
      readonly reason: "changed" | "unsealed" | "missing";
    };

interface Seal {
  readonly hash: string;
  /** The cause's hash; undefined where nothing caused the message. */
  readonly cause: string | undefined;
}

/** Attributes that the way of a message changes, or that say nothing of its content. */
const TRANSIENT = ["provenance", "expirytime", "deliverytime", "replyto"];
const SEAL = /^sha256=([0-9a-f]{64})(?:;cause=([0-9a-f]{64}))?$/;
const PAGE = 500;

/**
 * The provenance of a message: the SHA-256 of its canonical bytes, and the hash of the message whose handling caused it. The
 * canonical bytes are the JSON of RFC 8785 of its CloudEvents attributes, channel, headers and payload (of one that is not plain
 * JSON: its body in Base64), and of the cause's hash.
 */
export function sealOf(envelope: Envelope, cause: Envelope | undefined): string {
  const isCause = cause !== undefined && cause.id === envelope.causationId;
  const causeHash = isCause ? (readSeal(cause)?.hash ?? hashOf(cause, undefined)) : undefined;
  const hash = hashOf(envelope, causeHash);
  return `sha256=${hash}${causeHash === undefined ? "" : `;cause=${causeHash}`}`;
}

/** Are the messages of a conversation that the channels retain what was published? */
export async function verifyConversation(admin: BrokerAdmin, correlationId: string): Promise<Provenance> {
  const found = await messagesOf(admin, correlationId);
  const byId = new Map(found.map((envelope) => [envelope.id, envelope]));
  const hashes: string[] = [];
  const wrong: { readonly at: number; readonly result: Provenance & { readonly ok: false } }[] = [];
  const places = new Map(found.map((envelope, at) => [envelope.id, at]));
  const report = (at: number, id: string, reason: "changed" | "unsealed" | "missing"): void =>
    void wrong.push({ at, result: { ok: false, id, channel: byId.get(id)?.channel, reason } });
  for (const [at, envelope] of found.entries()) {
    const seal = readSeal(envelope);
    if (seal === undefined) report(at, envelope.id, "unsealed");
    else if (hashOf(envelope, seal.cause) !== seal.hash) report(at, envelope.id, "changed");
    hashes.push(seal?.hash ?? "");
    const causeId = envelope.causationId;
    if (seal?.cause === undefined || causeId === undefined) continue;
    const cause = byId.get(causeId);
    // A message that stands before this one, in whose place another may stand that is right in itself.
    if (cause === undefined) report(at, causeId, "missing");
    else if (readSeal(cause)?.hash !== seal.cause) report(places.get(causeId) ?? at, causeId, "changed");
  }
  const [first] = wrong.toSorted((a, b) => a.at - b.at);
  if (first !== undefined) return first.result;
  return { ok: true, messages: found.length, hash: sha256(hashes.join("\n")) };
}

/** In the order of causes. Copies in the dead letters are no messages of their own. */
async function messagesOf(admin: BrokerAdmin, correlationId: string): Promise<Envelope[]> {
  const found: Envelope[] = [];
  for (const channel of await admin.list()) {
    let after: string | undefined;
    for (;;) {
      const page = await admin.browse(channel, { limit: PAGE, ...(after === undefined ? {} : { after }) });
      for (const { envelope } of page)
        if (conversationOf(envelope) === correlationId && !isDeadLetter(envelope)) found.push(envelope);
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      after = last.position;
    }
  }
  return found.toSorted((a, b) => a.hops - b.hops || a.time - b.time || (a.id < b.id ? -1 : 1));
}

function readSeal({ provenance }: Envelope): Seal | undefined {
  const match = SEAL.exec(provenance ?? "");
  return match === null ? undefined : { hash: match[1] as string, cause: match[2] };
}

function hashOf(envelope: Envelope, cause: string | undefined): string {
  const attributes = attributesOf(envelope);
  for (const name of TRANSIENT) delete attributes[name];
  return sha256(
    canonicalJson({
      attributes,
      channel: envelope.channel,
      headers: headersOf(envelope),
      cause,
      ...contentOf(envelope),
    }),
  );
}

function contentOf({ contentType, contentEncoding, body }: Envelope): Readonly<Record<string, unknown>> {
  if (contentType === JSON_TYPE && contentEncoding === undefined) {
    try {
      return { payload: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)) as unknown };
    } catch {
      // It says that it is JSON and is not: its bytes say all there is.
    }
  }
  return { body: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("base64") };
}

/** The author's headers; what Herald puts beside them tells of the way. */
function headersOf({ headers }: Envelope): Readonly<Record<string, string>> {
  if (headers === NO_HEADERS) return NO_HEADERS;
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !isOwnHeader(name) && !isBudgetHeader(name)),
  );
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
