import { HeraldError } from "../../core/errors.ts";
import type { StoredEvent } from "./event.ts";

/** What an old event is today: its type and data. */
export type Upcaster = (event: StoredEvent) => Pick<StoredEvent, "type" | "data">;

/** Upcasters by the type that they read; what one gives may be read by the next. */
export type Upcasters = Readonly<Record<string, Upcaster>>;

/** Makes of a stored event what a program reads. */
export type Upcast = (event: StoredEvent) => StoredEvent;

const MAX_STEPS = 100;

/** The chain of upcasters as one function. It throws `INVALID_ARGUMENT` for upcasters that go round in a circle. */
export function upcaster(upcasters: Upcasters): Upcast {
  return (stored) => {
    let event = stored;
    for (let step = 0; Object.hasOwn(upcasters, event.type); step++) {
      if (step === MAX_STEPS) throw circle(stored.type);
      event = { ...event, ...upcasters[event.type]?.(event) };
    }
    return event;
  };
}

function circle(type: string): HeraldError {
  const message = `The upcasters of '${type}' go round in a circle: each must give another type, and the last one a type without an upcaster.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "upcasters", type } });
}
