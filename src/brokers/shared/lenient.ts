import { envelopeOf } from "../../core/cloudevents.ts";
import { createEnvelope, type Envelope } from "../../core/envelope.ts";
import { isHeraldError } from "../../core/errors.ts";

/**
 * The envelope of CloudEvents attributes by their names, which anybody may have written: one that cannot be read must not
 * stand in the way of the messages behind it, and becomes a header. Changes what it is given. Never throws.
 */
export function lenientEnvelope(
  attributes: Record<string, string>,
  carried: { channel: string; body: Uint8Array; headers: Record<string, string>; storedAt: number },
): Envelope {
  for (;;) {
    try {
      return envelopeOf(attributes, carried);
    } catch (error) {
      const name = isHeraldError(error) ? String(error.details["attribute"]) : "";
      if (!Object.hasOwn(attributes, name)) {
        const { channel, body, storedAt } = carried;
        const id = attributes["id"] ?? "";
        return createEnvelope({ id, channel, body, source: "external", time: storedAt });
      }
      carried.headers[`x-malformed-${name}`] = attributes[name] as string;
      delete attributes[name];
    }
  }
}
