import { attributesOf, envelopeOf } from "../../core/cloudevents.ts";
import type { Failure } from "../../core/delivery.ts";
import { JSON_TYPE, NO_HEADERS, type Envelope } from "../../core/envelope.ts";
import { MAX_FAILURES } from "../../core/limits.ts";

/** What a job says of itself, as far as a message is made of it. */
export interface CarriedJob {
  readonly id: string;
  /** The job's data as it is stored: a JSON text. */
  readonly data: string;
  /** When it was added, epoch milliseconds. */
  readonly timestamp: number;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const CLOCK_STEP_MS = 2;

/** A moment or a delay as BullMQ keeps it. Never early: it knows whole milliseconds only, and the clock that a moment was told by may be a little behind. */
export function neverEarly(ms: number): number {
  return Math.ceil(ms) + CLOCK_STEP_MS;
}

/**
 * An envelope as the data of a job: a CloudEvents 1.0 event in JSON, with the author's headers beside the attributes. A
 * body that is JSON as `JSON.stringify` writes it stands there as it is; any other in base64, so that every byte returns.
 */
export function encodeData(envelope: Envelope): string {
  const event: Record<string, unknown> = { ...attributesOf(envelope), channel: envelope.channel };
  if (envelope.headers !== NO_HEADERS) event["headers"] = envelope.headers;
  const text = isJson(envelope.contentType) ? plainJson(envelope.body) : undefined;
  if (text === undefined) {
    event["data_base64"] = Buffer.from(envelope.body).toString("base64");
    return JSON.stringify(event);
  }
  return `${JSON.stringify(event).slice(0, -1)},"data":${text}}`;
}

/**
 * The envelope of a job. One whose data is not an event of ours was added by hand: its data is the payload, and its id is
 * that of the job within its queue.
 */
export function decodeData(job: CarriedJob, channel: string, queue: string): Envelope {
  const data = parse(job.data);
  const carried = { channel, storedAt: job.timestamp };
  const id = `${queue}/${job.id}`.slice(-128);
  if (isEvent(data)) {
    try {
      const { headers, data_base64: base64, data: payload, ...attributes } = data;
      const body = typeof base64 === "string" ? Buffer.from(base64, "base64") : encode(payload);
      return envelopeOf({ id, ...textual(attributes) }, { ...carried, body, ...headersOf(headers) });
    } catch {
      // Attributes that cannot be read: what is there is still handed out, as a job added by hand.
    }
  }
  return envelopeOf({ id }, { ...carried, body: encoder.encode(job.data) });
}

/** Failures as a job keeps them: one line of JSON each, the latest ones, as the stack trace that Bull Board shows. */
export function encodeFailures(failures: readonly Failure[]): string {
  return JSON.stringify(failures.slice(-MAX_FAILURES).map((failure) => JSON.stringify(failure)));
}

/** The failures that {@link encodeFailures} wrote; what another program wrote there is passed over. */
export function decodeFailures(stacktrace: string | undefined): readonly Failure[] {
  const lines = stacktrace === undefined ? [] : parse(stacktrace);
  if (!Array.isArray(lines)) return [];
  return lines.flatMap((line: unknown) => {
    const found = typeof line === "string" ? (parse(line) as Partial<Failure> | undefined) : undefined;
    if (typeof found?.attempt !== "number" || typeof found.code !== "string") return [];
    return [
      { attempt: found.attempt, code: found.code, message: String(found.message), at: Number(found.at) },
    ];
  });
}

interface Event {
  readonly headers?: unknown;
  readonly data?: unknown;
  readonly data_base64?: unknown;
}

function isEvent(data: unknown): data is Event & { readonly specversion: string } {
  return (
    typeof data === "object" && data !== null && (data as { specversion?: unknown }).specversion === "1.0"
  );
}

function isJson(contentType: string): boolean {
  return contentType === JSON_TYPE || contentType.endsWith("+json");
}

/** The text of a body that comes back byte for byte when it is parsed and written again. */
function plainJson(body: Uint8Array): string | undefined {
  try {
    const text = utf8.decode(body);
    return JSON.stringify(JSON.parse(text)) === text ? text : undefined;
  } catch {
    return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function encode(payload: unknown): Uint8Array {
  return payload === undefined ? new Uint8Array(0) : encoder.encode(JSON.stringify(payload));
}

function textual(attributes: object): Record<string, string> {
  const result = Object.create(null) as Record<string, string>;
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === "string") result[name] = value;
    else if (typeof value === "number") result[name] = String(value);
  return result;
}

function headersOf(headers: unknown): { readonly headers?: Readonly<Record<string, string>> } {
  return typeof headers === "object" && headers !== null ? { headers: textual(headers) } : {};
}
