import { HeraldError } from "../core/errors.ts";
import type { MessagingService } from "./service.ts";

let current: MessagingService | undefined;

/** Makes a service the one that {@link getBus} gives, in this process; undefined: none. It is neither started nor stopped by this. */
export function setBus(bus: MessagingService | undefined): void {
  current = bus;
}

/** The service that {@link setBus} was given last. Throws `NOT_FOUND` when there is none. */
export function getBus(): MessagingService {
  if (current !== undefined) return current;
  throw new HeraldError("NOT_FOUND", "There is no bus in this process yet: call setBus(service) first.");
}
