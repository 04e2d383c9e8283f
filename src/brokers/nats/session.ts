import type { Clock } from "../../core/clock.ts";
import type { Timers } from "../shared/timers.ts";
import type { Api } from "./api.ts";
import type { Link } from "./link.ts";
import type { Names } from "./names.ts";
import type { NatsSettings } from "./options.ts";

/** What the parts of an open broker share. */
export interface Session {
  readonly link: Link;
  readonly api: Api;
  readonly names: Names;
  readonly settings: NatsSettings;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Where messages and signs of the server to this broker come: the token behind the link's inbox. */
  readonly id: string;
  readonly isClosed: boolean;
  /** Makes the streams again where they are gone; resolves when they stand. */
  restore(): Promise<void>;
}
