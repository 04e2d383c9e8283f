/** What an id is to an inbox when its delivery arrives. */
export type InboxState = "new" | "done" | "busy";

/**
 * The record that makes a repeated delivery take effect once. One per group of handlers; ids are kept for a horizon that
 * must be longer than the longest possible redelivery.
 */
export interface Inbox {
  /** `new`: it is ours to handle now. `done`: it took effect before. `busy`: another delivery of it runs. */
  claim(group: string, id: string): Promise<InboxState> | InboxState;
  /** Its effects are made: from now on it is `done`. */
  commit(group: string, id: string): Promise<void> | void;
  /** It failed: from now on it is `new` again. */
  abandon(group: string, id: string): Promise<void> | void;
}
