import type { Clock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import type { KeyValueStore } from "../core/store.ts";
import { conversationKey } from "./budget.ts";

/** What a conversation has used so far. */
export interface Used {
  readonly messages: number;
  readonly spend: Readonly<Record<string, number>>;
}

interface Entry extends Used {
  /** Epoch milliseconds of the last change. */
  readonly at: number;
}

const SPACE = "budgets";
const NOTHING: Used = { messages: 0, spend: {} };
/** Others may be writing to the same conversation: so often it is tried again. */
const MAX_TRIES = 200;
/** A conversation that used nothing for so long is forgotten. */
const HORIZON_MS = 7 * 86_400_000;
/** So many new conversations in this process, and the forgotten ones are looked for. */
const SWEEP_EVERY = 1000;

/** What conversations have used, kept at the broker, so that all agents of all processes add to the same figures. */
export class Ledger {
  readonly #values: KeyValueStore;
  readonly #clock: Clock;
  #begun = 0;

  constructor(values: KeyValueStore, clock: Clock) {
    this.#values = values;
    this.#clock = clock;
  }

  /** What a conversation has used. */
  async read(conversation: string): Promise<Used> {
    return parse((await this.#values.get(SPACE, conversationKey(conversation)))?.value);
  }

  /** Adds; resolves with what has been used then. Rejects with `CONFLICT` when others write without end. */
  async add(conversation: string, more: Partial<Used>): Promise<Used> {
    const key = conversationKey(conversation);
    for (let turn = 0; turn < MAX_TRIES; turn++) {
      const kept = await this.#values.get(SPACE, key);
      const used = sum(parse(kept?.value), more);
      const entry: Entry = { ...used, at: this.#clock.now() };
      const token = await this.#values.put(SPACE, key, JSON.stringify(entry), kept?.token ?? null);
      if (token === undefined) continue;
      if (kept === undefined && ++this.#begun % SWEEP_EVERY === 0) await this.#sweep();
      return used;
    }
    throw new HeraldError(
      "CONFLICT",
      "Too many handlers write to the budget of one conversation: try again.",
    );
  }

  async #sweep(): Promise<void> {
    const before = this.#clock.now() - HORIZON_MS;
    for (const key of await this.#values.keys(SPACE)) {
      const kept = await this.#values.get(SPACE, key);
      if (kept !== undefined && parse(kept.value).at < before)
        await this.#values.delete(SPACE, key, kept.token);
    }
  }
}

function parse(value: string | undefined): Entry {
  return value === undefined ? { ...NOTHING, at: 0 } : (JSON.parse(value) as Entry);
}

function sum(known: Used, more: Partial<Used>): Used {
  const spend: Record<string, number> = { ...known.spend };
  for (const [name, amount] of Object.entries(more.spend ?? {})) spend[name] = (spend[name] ?? 0) + amount;
  return { messages: known.messages + (more.messages ?? 0), spend };
}
