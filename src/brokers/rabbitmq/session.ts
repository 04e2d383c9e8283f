import type { Clock } from "../../core/clock.ts";
import type { Timers } from "../shared/timers.ts";
import type { Link } from "./link.ts";
import type { Names } from "./names.ts";
import type { RabbitSettings } from "./options.ts";

/** The two connections of a process to one server: a server that blocks its publishers still lets consumers settle. */
export interface Links {
  readonly publishing: Link;
  readonly consuming: Link;
}

/** What the parts of an open broker share. */
export interface Session {
  readonly links: Links;
  readonly names: Names;
  readonly settings: RabbitSettings;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly isClosed: boolean;
}
