import type { Segment } from "../schema/path.ts";
import type { AgentManifest } from "./model.ts";
import type { Locate, Position } from "./report.ts";

const PLACES = new WeakMap<AgentManifest, Locate>();

/** Remembers where the parts of a manifest stand in its text, for as long as the manifest is in use. */
export function rememberPlaces(manifest: AgentManifest, locate: Locate): void {
  PLACES.set(manifest, locate);
}

/** Where a part of a manifest stands; 0 and 0 when it was not read from text. */
export function placeOf(manifest: AgentManifest, segments: readonly Segment[]): Position {
  return PLACES.get(manifest)?.(segments) ?? { line: 0, column: 0 };
}
