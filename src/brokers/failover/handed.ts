import type { Delivery } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HandedOn } from "../shared/handed-on.ts";
import type { SideName } from "./seen.ts";

/** Marks positions of the fallback, so that they are not taken for positions of the primary. */
export const FALLBACK_POSITION = "fallback!";

/** A delivery that is not the primary's own object: it comes from the fallback, or its envelope had to be cleaned. */
export class Handed extends HandedOn {
  readonly side: SideName;

  constructor(delivery: Delivery, side: SideName, envelope: Envelope) {
    const position = side === "primary" ? delivery.position : FALLBACK_POSITION + delivery.position;
    super(delivery, { envelope, position });
    this.side = side;
  }
}

/** The side that a delivery came from. */
export function sideOf(delivery: Delivery): SideName {
  return delivery instanceof Handed ? delivery.side : "primary";
}

/** The delivery as its side knows it. */
export function ownOf(delivery: Delivery): Delivery {
  return delivery instanceof Handed ? delivery.receipt : delivery;
}
