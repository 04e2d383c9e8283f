import type { Outcome } from "../core/outcome.ts";
import type { DeliveryContext } from "./context.ts";
import { isDeadLetter } from "./dead-letter.ts";
import { carriedBy, checkReach, conversationOf, exceeded, isCounted, walk, type Carried } from "./budget.ts";
import type { Ledger, Used } from "./ledger.ts";

/** The budget of the conversation that a run belongs to. */
export class Spending {
  readonly carried: Carried;
  readonly #ledger: Ledger | undefined;
  readonly #conversation: string;

  constructor(carried: Carried, ledger: Ledger | undefined, conversation: string) {
    this.carried = carried;
    this.#ledger = ledger;
    this.#conversation = conversation;
  }

  /** A message that is handled for the first time counts. Rejects with `BUDGET_EXCEEDED`. */
  async begin(isNew: boolean): Promise<void> {
    if (this.#ledger === undefined) return;
    const used = isNew
      ? await this.#ledger.add(this.#conversation, { messages: 1 })
      : await this.#ledger.read(this.#conversation);
    this.#check(used);
  }

  /** Adds to what was spent; resolves with what is left. Rejects with `BUDGET_EXCEEDED`: it is spent all the same. */
  async spend(amounts: Readonly<Record<string, number>>): Promise<Readonly<Record<string, number>>> {
    if (this.#ledger === undefined) return {};
    const used = await this.#ledger.add(this.#conversation, { spend: amounts });
    this.#check(used);
    const limits = Object.entries(this.carried.budget.spend ?? {});
    return Object.fromEntries(limits.map(([name, limit]) => [name, limit - (used.spend[name] ?? 0)]));
  }

  #check(used: Used): void {
    const { messages, spend = {} } = this.carried.budget;
    if (messages !== undefined && used.messages > messages)
      throw exceeded("messages", used.messages, messages);
    for (const [name, limit] of Object.entries(spend)) {
      const amount = used.spend[name] ?? 0;
      if (amount > limit) throw exceeded(name, amount, limit);
    }
  }
}

/** Messages whose handling was counted: one that is given back uncounted must not count again. Bounded. */
const MAX_COUNTED = 10_000;

/** What the budget stage needs of the subscription. */
export interface SpendingSource {
  readonly agentId: string;
  readonly now: () => number;
  /** Throws `UNSUPPORTED` where the broker keeps no values. */
  readonly ledger: () => Ledger;
  readonly counted: Set<string>;
}

/**
 * A message whose conversation is over its budget, or goes in a circle, is given up on, its handler not started. A reply is the end
 * of something that was paid for, and passes.
 */
export function startSpending(
  run: DeliveryContext,
  source: SpendingSource,
): undefined | Promise<Outcome | undefined> {
  const { envelope } = run;
  const carried = carriedBy(envelope);
  if (carried === undefined || isDeadLetter(envelope)) return undefined;
  const { budget } = carried;
  const trail = walk(carried, envelope, source.agentId);
  const isReply = envelope.type === "reply";
  if (!isReply) checkReach(budget, envelope.hops, source.now());
  const ledger = isCounted(budget) ? source.ledger() : undefined;
  const spending = new Spending({ budget, trail }, ledger, conversationOf(envelope));
  run.spending = spending;
  if (ledger === undefined || isReply) return undefined;
  return spending.begin(isFirst(run, source.counted)).then(() => undefined);
}

function isFirst({ attempt, group, envelope }: DeliveryContext, counted: Set<string>): boolean {
  const name = `${envelope.channel} ${group} ${envelope.id}`;
  if (attempt > 1 || counted.has(name)) return false;
  if (counted.size >= MAX_COUNTED) counted.clear();
  counted.add(name);
  return true;
}
