import type { Clock } from "../../core/clock.ts";
import type { Keys, Lane } from "./keys.ts";
import type { Script } from "./script.ts";

/** What the parts of an open broker share: the connection for commands, names, and what others must be told. */
export interface Session {
  readonly keys: Keys;
  readonly clock: Clock;
  /** The name under which this process reads. */
  readonly consumer: string;
  readonly leaseMs: number;
  readonly isUp: boolean;
  /** Rejects with the client's own errors. */
  send(key: string, args: readonly string[]): Promise<unknown>;
  run(script: Script, key: string, args: readonly string[]): Promise<unknown>;
  /** Listens to a pub/sub channel, over every connection that will stand. Gives the function that ends it. */
  listen(channel: string, listener: (message: string) => void): () => void;
  /** Tells every process, this one too, that entries were added to a lane. */
  announce(channel: string, lane: Lane): void;
  /** Tells every process that entries were given back to a group. */
  announceReady(channel: string, group: string): void;
  /** Registers a channel again whose keys were deleted, with every group that is known here. */
  restore(channel: string): Promise<void>;
}
