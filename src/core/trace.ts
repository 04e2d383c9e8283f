const TRACEPARENT_LENGTH = 55;
const UUID_LENGTH = 36;
const SAMPLED = "01";
const DASH = 0x2d;

/**
 * The ids in a W3C traceparent; undefined when it is not one: wrong lengths, other than lower-case hexadecimal digits, an
 * id of zeros only, version ff.
 */
export function traceOf(
  traceparent: string,
): { readonly traceId: string; readonly spanId: string } | undefined {
  if (traceparent.length !== TRACEPARENT_LENGTH) return undefined;
  if (!isDash(traceparent, 2) || !isDash(traceparent, 35) || !isDash(traceparent, 52)) return undefined;
  if (
    !isHex(traceparent, 0, 2) ||
    !isHex(traceparent, 3, 35) ||
    !isHex(traceparent, 36, 52) ||
    !isHex(traceparent, 53, 55)
  ) {
    return undefined;
  }
  const traceId = traceparent.slice(3, 35);
  const spanId = traceparent.slice(36, 52);
  return traceparent.startsWith("ff") || isZero(traceId) || isZero(spanId) ? undefined : { traceId, spanId };
}

/**
 * The traceparent (W3C Trace Context) of a message that another one caused: the parent's trace, a span of its own. A
 * parent without one starts the trace under its own id. Undefined when there is no id to make one from.
 */
export function childTrace(
  parent: { readonly traceparent: string | undefined; readonly id: string },
  childId: string,
): string | undefined {
  const known = parent.traceparent === undefined ? undefined : traceOf(parent.traceparent);
  const traceId = known?.traceId ?? (isUuid(parent.id) ? parent.id.replaceAll("-", "") : undefined);
  if (traceId === undefined || !isUuid(childId)) return undefined;
  return `00-${traceId}-${childId.slice(19, 23)}${childId.slice(24)}-${SAMPLED}`;
}

// Loops and a table, not expressions: this runs for every message that a handler publishes.

const HEX = new Uint8Array(128);
for (const digit of "0123456789abcdef") HEX[digit.charCodeAt(0)] = 1;

function isUuid(id: string): boolean {
  if (id.length !== UUID_LENGTH) return false;
  if (!isDash(id, 8) || !isDash(id, 13) || !isDash(id, 18) || !isDash(id, 23)) return false;
  return (
    isHex(id, 0, 8) &&
    isHex(id, 9, 13) &&
    isHex(id, 14, 18) &&
    isHex(id, 19, 23) &&
    isHex(id, 24, UUID_LENGTH)
  );
}

function isDash(text: string, at: number): boolean {
  return text.charCodeAt(at) === DASH;
}

function isHex(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (HEX[text.charCodeAt(i)] !== 1) return false;
  return true;
}

function isZero(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text[i] !== "0") return false;
  return true;
}
