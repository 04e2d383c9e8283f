/** What a conversation may use, set where it begins and carried with every message of it. All optional. */
export interface Budget {
  /** How many messages may follow one another, each caused by the one before. */
  readonly hops?: number;
  /** How many messages may be handled in all, replies not counted. Needs a broker that keeps values. */
  readonly messages?: number;
  /** How long it may go on, milliseconds from now. */
  readonly deadlineMs?: number;
  /** How much handlers may spend, by name: `{ tokens: 20_000, euros: 1.5 }`. Needs a broker that keeps values. */
  readonly spend?: Readonly<Record<string, number>>;
  /** How often one agent may get the same payload from the same agent along one line of causes. Default 3. */
  readonly repeats?: number;
}
