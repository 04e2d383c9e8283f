import type { HeraldError } from "../../../core/errors.ts";
import type { ErrorShape } from "../protocol.ts";

/** An error as it goes to the other thread. */
export function shapeOf({ code, message, details }: HeraldError): ErrorShape {
  return { code, message, details };
}
