import type { Capabilities } from "../../core/broker.ts";
import { bodyTooLarge } from "../../core/broker-checks.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError } from "../../core/errors.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { lowerOrdering, weakest } from "../shared/capabilities.ts";

/** What a fallback must have so that nothing on it is lost sight of. */
const NEEDED = ["groups", "broadcast", "wildcard", "lag"] as const;

/** What both can do: of every ability the weaker. `journal`: every acknowledged message is on the fallback first. */
export function weaker(
  primary: Capabilities,
  fallback: Capabilities,
  durability: "primary" | "journal",
): Capabilities {
  const both = weakest([primary, fallback]);
  return {
    ...both,
    durability: durability === "journal" ? fallback.durability : both.durability,
    // Two sides keep the order of a key between them; that of a whole channel they do not.
    ordering: lowerOrdering(both.ordering, "key"),
    // Reading again is the primary's: it gets everything in the end.
    replayByPosition: primary.replayByPosition,
    replayByTime: primary.replayByTime,
    lease: primary.lease,
  };
}

/** Rejects with `UNSUPPORTED` what cannot stand in for a primary. */
export function checkFallback(name: string, capabilities: Capabilities, hasAdmin: boolean): void {
  const lacking: string[] = NEEDED.filter((ability) => !capabilities[ability]);
  if (!hasAdmin) lacking.push("admin");
  if (lacking.length === 0) return;
  const message = `The broker '${name}' cannot be a fallback, because it lacks ${lacking.join(", ")}: use the file or the memory broker.`;
  throw new HeraldError("UNSUPPORTED", message, { details: { lacking } });
}

/** Why an envelope cannot be taken, whichever side it goes to; undefined when it can. The limits of both hold from the start. */
export function refusalOf(envelope: Envelope, can: Capabilities): HeraldError | undefined {
  if (envelope.body.byteLength > can.maxBodyBytes)
    return bodyTooLarge(envelope.body.byteLength, can.maxBodyBytes);
  if (!can.priority && envelope.priority !== DEFAULT_PRIORITY) return unsupported("priority");
  if (!can.delay && envelope.deliverAt !== undefined) return unsupported("delay");
  return undefined;
}

function unsupported(ability: string): HeraldError {
  const message = `One of the two brokers has no ${ability}: publish without it, or use another pair.`;
  return new HeraldError("UNSUPPORTED", message, { details: { ability } });
}
