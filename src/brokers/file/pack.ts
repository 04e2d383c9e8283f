import { envelopeOf, type Attributes } from "../../core/cloudevents.ts";
import { isoTime } from "../../core/clock.ts";
import type { Commit } from "../../core/broker.ts";
import type { Delivery, Failure } from "../../core/delivery.ts";
import { JSON_TYPE, NO_HEADERS, type Envelope } from "../../core/envelope.ts";
import { HeraldError } from "../../core/errors.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import type { StoreWrites } from "../../core/store.ts";
import { NO_FAILURES } from "../shared/failures.ts";
import type { Echo } from "./echo.ts";
import {
  DELIVERY_STRIDE,
  ECHO,
  PUBLISH_STRIDE,
  type CommitCommand,
  type DeliveryBlock,
  type PublishBlock,
} from "./protocol.ts";

/** Envelopes as columns. `isDeduped` says of which the id is to be recognised. */
export function packEnvelopes(
  envelopes: readonly Envelope[],
  isDeduped: readonly boolean[] | boolean,
): PublishBlock {
  const channels = new Map<string, number>();
  const heads: string[] = [];
  const numbers = new Float64Array(envelopes.length * PUBLISH_STRIDE);
  let headers: (string | null)[] | null = null;
  let keys: (string | null)[] | null = null;
  let ids: (string | null)[] | null = null;
  let bytes = 0;
  for (let i = 0; i < envelopes.length; i++) {
    const envelope = envelopes[i] as Envelope;
    let channel = channels.get(envelope.channel);
    if (channel === undefined) channels.set(envelope.channel, (channel = channels.size));
    heads.push(headOf(envelope));
    if (hasHeaders(envelope)) (headers ??= [])[i] = JSON.stringify(envelope.headers);
    if (envelope.key !== undefined) (keys ??= [])[i] = envelope.key;
    if (isDeduped === true || (isDeduped !== false && isDeduped[i] === true)) (ids ??= [])[i] = envelope.id;
    const at = i * PUBLISH_STRIDE;
    numbers[at] = channel;
    numbers[at + 1] = envelope.priority;
    numbers[at + 2] = envelope.deliverAt ?? Number.NaN;
    numbers[at + 3] = envelope.body.byteLength;
    bytes += envelope.body.byteLength;
  }
  const bodies = new Uint8Array(bytes);
  let offset = 0;
  for (const { body } of envelopes) {
    bodies.set(body, offset);
    offset += body.byteLength;
  }
  return { channels: [...channels.keys()], heads: heads.join("\n"), headers, keys, ids, numbers, bodies };
}

/** What one subscription commits, as columns. */
export function packCommits(
  commits: readonly Commit[],
  { member, scope }: Pick<CommitCommand, "member" | "scope">,
): CommitCommand {
  const ids: string[] = [];
  const numbers: number[] = [];
  const envelopes: Envelope[] = [];
  for (const commit of commits) {
    const { ref, seq } = commit.delivery.receipt as FileDelivery;
    ids.push(commit.inbox.id);
    numbers.push(ref, seq, commit.envelopes.length);
    envelopes.push(...commit.envelopes);
  }
  return {
    op: "commit",
    member,
    scope,
    ids,
    numbers: Float64Array.from(numbers),
    messages: envelopes.length === 0 ? null : packEnvelopes(envelopes, true),
    writes: commits.some(({ writes }) => !isNothing(writes)) ? commits.map(({ writes }) => writes) : null,
  };
}

function isNothing({ reads, values, appends }: StoreWrites): boolean {
  return reads.length + values.length + appends.length === 0;
}

/**
 * The attributes as they are stored, under the names of `attributesOf`: what every message says alike is left out, and
 * stands in the view `tail`. Written as text, because an object for each message would cost more than the rest of packing.
 */
function headOf(envelope: Envelope): string {
  const { key, priority, hops, expiresAt, deliverAt, contentType, contentEncoding } = envelope;
  let head = `{"id":${quoted(envelope.id)},"source":${quoted(envelope.source)}`;
  head += entry("type", envelope.type);
  head += `,"time":"${isoTime(envelope.time)}"`;
  if (contentType !== JSON_TYPE) head += entry("datacontenttype", contentType);
  head += entry("contentencoding", contentEncoding);
  head += entry("partitionkey", key);
  head += entry("correlationid", envelope.correlationId);
  head += entry("causationid", envelope.causationId);
  head += entry("traceparent", envelope.traceparent);
  if (expiresAt !== undefined) head += entry("expirytime", isoTime(expiresAt));
  if (deliverAt !== undefined) head += entry("deliverytime", isoTime(deliverAt));
  if (priority !== DEFAULT_PRIORITY) head += entry("priority", String(priority));
  head += entry("replyto", envelope.replyTo);
  head += entry("recipient", envelope.to);
  if (hops !== 0) head += entry("hops", String(hops));
  head += entry("origin", envelope.origin);
  head += entry("provenance", envelope.provenance);
  return `${head}}`;
}

function entry(name: string, value: string | undefined): string {
  return value === undefined ? "" : `,"${name}":${quoted(value)}`;
}

// Most values are ids and names: they stand in JSON as they are.
const BARE = /^[\w.:@/-]*$/;

function quoted(value: string): string {
  return BARE.test(value) ? `"${value}"` : JSON.stringify(value);
}

function hasHeaders({ headers }: Envelope): boolean {
  if (headers === NO_HEADERS) return false;
  for (const _name in headers) return true;
  return false;
}

/** An envelope from what is stored of it. Attributes of another tool that cannot be read are left out. */
export function envelopeFrom(
  head: string,
  headers: string | null | undefined,
  carried: { readonly channel: string; readonly body: Uint8Array; readonly storedAt: number },
): Envelope {
  const attributes = parsed(head);
  const all = headers == null ? carried : { ...carried, headers: parsed(headers) };
  try {
    return envelopeOf(attributes, all);
  } catch {
    return envelopeOf({ id: attributes["id"] ?? "" }, all);
  }
}

function parsed(text: string): Attributes {
  try {
    const value = JSON.parse(text) as Attributes | null;
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** One delivery of the file broker, and the receipt of itself. */
export class FileDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly leaseMs: number;
  readonly failures: readonly Failure[];
  /** Its place in the log. */
  readonly seq: number;
  /** The claim it belongs to, or minus its token. */
  readonly ref: number;
  /** The subscription that holds it; 0: it was settled. */
  holder: number;

  constructor(
    envelope: Envelope,
    place: { readonly seq: number; readonly ref: number; readonly attempt: number; readonly holder: number },
    leaseMs: number,
    failures: readonly Failure[],
  ) {
    this.envelope = envelope;
    this.seq = place.seq;
    this.ref = place.ref;
    this.attempt = place.attempt;
    this.holder = place.holder;
    this.leaseMs = leaseMs;
    this.failures = failures;
  }

  get position(): string {
    return String(this.seq);
  }

  get receipt(): unknown {
    return this;
  }
}

/** Calls back with the deliveries of each subscription, in the order of the block. */
export function unpackDeliveries(
  block: DeliveryBlock,
  { leaseMs, echo }: { readonly leaseMs: number; readonly echo: Echo },
  give: (member: number, deliveries: FileDelivery[]) => void,
): void {
  const { numbers, bodies } = block;
  const heads = block.heads.split("\n");
  let offset = 0;
  let i = 0;
  for (let part = 0; part < block.members.length; part++) {
    const holder = block.members[part] as number;
    const deliveries: FileDelivery[] = [];
    for (const end = i + (block.counts[part] as number); i < end; i++) {
      const at = i * DELIVERY_STRIDE;
      const bytes = numbers[at + 5] as number;
      const known = bytes === ECHO ? echoed(echo, numbers[at + 1] as number) : undefined;
      const envelope =
        known ??
        envelopeFrom(heads[i] as string, block.headers?.[i], {
          channel: block.channels[numbers[at] as number] as string,
          body: bodies.subarray(offset, offset + bytes),
          storedAt: numbers[at + 4] as number,
        });
      if (known === undefined) offset += bytes;
      const stored = block.failures?.[i];
      const failures = stored == null ? NO_FAILURES : (JSON.parse(stored) as Failure[]);
      const place = {
        seq: numbers[at + 1] as number,
        ref: numbers[at + 2] as number,
        attempt: numbers[at + 3] as number,
        holder,
      };
      deliveries.push(new FileDelivery(envelope, place, leaseMs, failures));
    }
    give(holder, deliveries);
  }
}

/** What the thread left out must be here. */
function echoed(echo: Echo, position: number): Envelope {
  const envelope = echo.get(position);
  if (envelope !== undefined) return envelope;
  throw new HeraldError("INTERNAL", `The message at ${position} was left out by the thread and is not here.`);
}
