/** One copy of a message that the broker must still have; `holder` is the subscription that has it in hand. */
export interface Held {
  readonly position: string;
  readonly id: string;
  readonly key: string | undefined;
  readonly priority: number;
  readonly order: number;
  attempt: number;
  dueAt: number;
  /** Handed out before, or delayed: it may be overtaken. */
  moved: boolean;
  holder: number | undefined;
}

/** What one group of one channel must do, in as few lines as it can be said. Relaxed order. */
export class ReferenceModel {
  now = 0;
  /** The subscription that is open; undefined: none. */
  open: number | undefined = 1;
  readonly held = new Map<string, Held>();
  readonly #prefetch: number;
  readonly #windowMs: number;
  readonly #seen = new Map<string, number>();
  #published = 0;
  #subscriptions = 1;

  constructor(prefetch: number, windowMs: number) {
    this.#prefetch = prefetch;
    this.#windowMs = windowMs;
  }

  isKnown(id: string): boolean {
    return this.now - (this.#seen.get(id) ?? -Infinity) < this.#windowMs;
  }

  publish(
    message: Pick<Held, "position" | "id" | "key" | "priority">,
    delayMs: number,
    dedupe: boolean,
  ): void {
    if (dedupe) this.#seen.set(message.id, this.now);
    const order = this.#published++;
    const dueAt = this.now + delayMs;
    this.held.set(message.position, {
      ...message,
      order,
      attempt: 1,
      dueAt,
      moved: delayMs > 0,
      holder: undefined,
    });
  }

  /** What may be handed out next: due, not out, its key not out. */
  eligible(): Held[] {
    const all = [...this.held.values()];
    const out = new Set(all.flatMap(({ holder, key }) => (holder === undefined ? [] : [key])));
    out.delete(undefined);
    return all.filter(({ holder, key, dueAt }) => holder === undefined && dueAt <= this.now && !out.has(key));
  }

  /** How many more the open subscription may hold. */
  room(): number {
    const mine = [...this.held.values()].filter(({ holder }) => holder !== undefined && holder === this.open);
    return this.open === undefined ? 0 : this.#prefetch - mine.length;
  }

  /** Why this must not be what is handed out next; undefined: it may be. */
  objection(position: string, attempt: number): string | undefined {
    const eligible = this.eligible();
    const chosen = eligible.find((held) => held.position === position);
    if (chosen === undefined) return `${position} is not there to be handed out`;
    if (chosen.attempt !== attempt) return `${position} came as attempt ${attempt}, not ${chosen.attempt}`;
    // Within one key order may go before urgency: only a message that is alone with its key must overtake.
    const isAlone = (key: string | undefined) =>
      key === undefined || eligible.filter((held) => held.key === key).length === 1;
    const urgent = eligible.find(({ priority, key }) => priority < chosen.priority && isAlone(key));
    if (urgent !== undefined) return `${position} came before ${urgent.position}, which is more urgent`;
    const { key, priority, order } = chosen;
    const older = eligible.find(
      (held) => held.key === key && held.priority === priority && held.order < order && !held.moved,
    );
    return older === undefined || chosen.moved
      ? undefined
      : `${position} came before ${older.position}, which is older`;
  }

  settle(position: string, kind: "ack" | "nack" | "release", delayMs: number): void {
    const held = this.held.get(position) as Held;
    if (kind === "ack") this.held.delete(position);
    const attempt = held.attempt + (kind === "nack" ? 1 : 0);
    Object.assign(held, { attempt, dueAt: this.now + delayMs, holder: undefined, moved: true });
  }

  reopen(): void {
    this.open = ++this.#subscriptions;
  }
}
