import { decodeJson } from "../codec/json.ts";
import { encodePayload } from "../codec/payload.ts";

/**
 * A payload as it is now, for a publish that must wait: what its author makes of it meanwhile is not what was published.
 * Throws what encoding throws.
 */
export function hold(payload: unknown, maxDepth: number): unknown {
  const { body } = encodePayload(payload, maxDepth);
  return payload instanceof Uint8Array ? body : decodeJson(body, maxDepth);
}
