import type { StartFrom } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";

/** A place in one band of a channel, and when its message was published, for the other bands. */
export interface BandPlace {
  readonly band: number;
  /** Epoch milliseconds. */
  readonly time: number;
  /** Of the broker below. */
  readonly position: string;
}

const PLACE = /^p(\d{1,2})!(-?[\d.e+]+)!(.*)$/s;

/** A place as text. */
export function placeText({ band, time, position }: BandPlace): string {
  return `p${band}!${time}!${position}`;
}

/** The place of a text; undefined for one that is none. */
export function parsePlace(text: string): BandPlace | undefined {
  const [, band, time, position] = PLACE.exec(text) ?? [];
  if (band === undefined || position === undefined || !Number.isFinite(Number(time))) return undefined;
  return { band: Number(band), time: Number(time), position };
}

/** Where a band is to be read from, so that nothing older than the place in its own band is. Throws `INVALID_ARGUMENT`. */
export function startInBand(from: StartFrom | undefined, band: number): StartFrom {
  if (typeof from !== "object" || !("position" in from)) return from ?? "new";
  const place = parsePlace(String(from.position));
  if (place !== undefined) return place.band === band ? { position: place.position } : { time: place.time };
  const message = `from must be new, earliest, { time } or { position } of this broker, not ${showValue(from)}.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "from" } });
}
