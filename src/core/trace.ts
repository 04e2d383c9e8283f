const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SAMPLED = "01";

/** The ids in a W3C traceparent; undefined when it is not one. */
export function traceOf(
  traceparent: string,
): { readonly traceId: string; readonly spanId: string } | undefined {
  const match = TRACEPARENT.exec(traceparent);
  return match === null ? undefined : { traceId: match[1] as string, spanId: match[2] as string };
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
  const traceId = known?.traceId ?? (UUID.test(parent.id) ? parent.id.replaceAll("-", "") : undefined);
  if (traceId === undefined || !UUID.test(childId)) return undefined;
  return `00-${traceId}-${childId.replaceAll("-", "").slice(16)}-${SAMPLED}`;
}
