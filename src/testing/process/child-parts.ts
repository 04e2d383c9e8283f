import type { ServicePort } from "../service-port.ts";
import type { CrashPoints } from "./crash-points.ts";
import type { EventLines } from "./event-lines.ts";
import type { ChildOrder } from "./spec.ts";

/** What a role is played with. */
export interface ChildParts {
  readonly name: string;
  readonly lines: EventLines;
  readonly crashes: CrashPoints;
  /** Started. */
  readonly service: ServicePort;
  /** Those of all agents of the role; of most there is one. */
  readonly services: readonly ServicePort[];
}

/** A role that has begun. */
export interface Playing {
  /** What the parent says later. */
  order?(order: ChildOrder): void;
}
