import { createHash } from "node:crypto";
import type { Budget } from "../core/budget.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError, showValue } from "../core/errors.ts";

/** Header of a message whose conversation has a budget: its limits, as JSON. */
export const BUDGET_HEADER = "x-budget";
/** Header beside it: one mark for each handling that led to the message, oldest first. */
export const TRAIL_HEADER = "x-trail";

/** A budget as messages carry it: its limits in figures that hold wherever they are read. */
export interface CarriedBudget {
  /** Hop number that no message may pass. */
  readonly hops?: number;
  readonly messages?: number;
  /** Epoch milliseconds. */
  readonly until?: number;
  readonly spend?: Readonly<Record<string, number>>;
  readonly repeats: number;
}

/** A budget and the marks of what led to here. */
export interface Carried {
  readonly budget: CarriedBudget;
  readonly trail: readonly string[];
}

const DEFAULT_REPEATS = 3;
/** Marks that a message carries, the latest ones: as many as hops are allowed by default. */
const MAX_TRAIL = 32;
const MARK_LENGTH = 12;
const MAX_SPENDS = 16;
const NUMBERS = ["hops", "messages", "deadlineMs", "repeats"] as const;

/** Throws `INVALID_ARGUMENT` naming the field. */
export function checkBudget(budget: Budget): void {
  if (Object.prototype.toString.call(budget) !== "[object Object]")
    throw wrong("budget", "an object", budget);
  for (const name of Object.keys(budget))
    if (name !== "spend" && !NUMBERS.includes(name as (typeof NUMBERS)[number]))
      throw wrong("budget", `of ${NUMBERS.join(", ")} and spend`, name);
  for (const name of NUMBERS) {
    const value = budget[name];
    const least = name === "hops" ? 0 : 1;
    if (value !== undefined && !(Number.isFinite(value) && value >= least))
      throw wrong(`budget.${name}`, `a number of ${least} or more`, value);
  }
  const spends = Object.entries(budget.spend ?? {});
  if (spends.length > MAX_SPENDS) throw wrong("budget.spend", `at most ${MAX_SPENDS} figures`, spends.length);
  for (const [name, value] of spends) {
    if (!/^[A-Za-z0-9_-]{1,40}$/.test(name) || name === "__proto__")
      throw wrong("budget.spend", "of names of 1 to 40 characters A-Z a-z 0-9 _ -", name);
    if (!(Number.isFinite(value) && value >= 0))
      throw wrong(`budget.spend.${name}`, "a number of 0 or more", value);
  }
}

/** A budget as it is carried from a message of hop `hops`, published at `now`; never looser than one that is carried already. */
export function carry(
  given: Budget,
  at: { readonly hops: number; readonly now: number },
  known?: CarriedBudget,
): CarriedBudget {
  const spend: Record<string, number> = { ...known?.spend };
  for (const [name, value] of Object.entries(given.spend ?? {}))
    spend[name] = Math.min(value, spend[name] ?? Infinity);
  const hops = least(given.hops === undefined ? undefined : at.hops + given.hops, known?.hops);
  const messages = least(given.messages, known?.messages);
  const until = least(given.deadlineMs === undefined ? undefined : at.now + given.deadlineMs, known?.until);
  return {
    ...(hops === undefined ? {} : { hops }),
    ...(messages === undefined ? {} : { messages }),
    ...(until === undefined ? {} : { until }),
    ...(Object.keys(spend).length === 0 ? {} : { spend }),
    repeats: least(given.repeats, known?.repeats) ?? DEFAULT_REPEATS,
  };
}

/** What a message carries; undefined: nothing. Throws `MALFORMED` for what is no budget. */
export function carriedBy({ headers, id }: Envelope): Carried | undefined {
  const text = headers[BUDGET_HEADER];
  if (text === undefined) return undefined;
  const trail = headers[TRAIL_HEADER]?.split(",") ?? [];
  try {
    const budget = JSON.parse(text) as CarriedBudget;
    if (typeof budget.repeats === "number") return { budget, trail };
  } catch {
    // What it is instead does not matter.
  }
  const message = `The header ${BUDGET_HEADER} of ${id} is no budget: leave it to Herald, and say budget where you publish.`;
  throw new HeraldError("MALFORMED", message, { details: { header: BUDGET_HEADER } });
}

/** The headers of a message with what it carries. */
export function withCarried(
  headers: Readonly<Record<string, string>>,
  { budget, trail }: Carried,
): Readonly<Record<string, string>> {
  const carried = { ...headers, [BUDGET_HEADER]: JSON.stringify(budget) };
  return trail.length === 0 ? carried : { ...carried, [TRAIL_HEADER]: trail.join(",") };
}

/** True for the name of a header that carries a budget. */
export function isBudgetHeader(name: string): boolean {
  return name === BUDGET_HEADER || name === TRAIL_HEADER;
}

/** True when what is used must be kept where all agents see it. */
export function isCounted({ messages, spend }: Pick<Budget, "messages" | "spend">): boolean {
  return messages !== undefined || spend !== undefined;
}

/** Throws `BUDGET_EXCEEDED` for a message past the hops or the time of its conversation. */
export function checkReach(budget: CarriedBudget, hops: number, now: number): void {
  if (budget.hops !== undefined && hops > budget.hops) throw exceeded("hops", hops, budget.hops);
  if (budget.until !== undefined && now > budget.until)
    throw exceeded("deadline", new Date(now).toISOString(), new Date(budget.until).toISOString());
}

/**
 * The trail with the mark of this handling: who sent what to whom. Throws `LOOP_DETECTED` when it stands there as often as is
 * allowed.
 */
export function walk({ budget, trail }: Carried, envelope: Envelope, agentId: string): readonly string[] {
  const hash = createHash("sha256").update(`${envelope.source} ${agentId} `).update(envelope.body);
  const mark = hash.digest("hex").slice(0, MARK_LENGTH);
  const times = trail.filter((one) => one === mark).length;
  if (times < budget.repeats) return [...trail, mark].slice(-MAX_TRAIL);
  const message = `Agent '${agentId}' got the same payload from '${envelope.source}' ${times} times before in this line of causes: the agents answer each other in a circle; break it, or raise budget.repeats.`;
  const details = { source: envelope.source, agent: agentId, times, correlationId: conversationOf(envelope) };
  throw new HeraldError("LOOP_DETECTED", message, { details });
}

/** The conversation that a message belongs to. */
export function conversationOf({ correlationId, id }: Envelope): string {
  return correlationId ?? id;
}

/** What is kept of a conversation at the broker stands under this: an id may be longer, or hold what a key may not. */
export function conversationKey(conversation: string): string {
  return createHash("sha256").update(conversation).digest("hex").slice(0, 32);
}

/** A conversation has used more than it may. */
export function exceeded(budget: string, used: number | string, limit: number | string): HeraldError {
  const message = `The conversation is over its budget: ${budget} ${used} of ${limit}. See what it spends it on, or give it more where it begins.`;
  return new HeraldError("BUDGET_EXCEEDED", message, { details: { budget, used, limit } });
}

/** Throws `INVALID_ARGUMENT` for what is no amount. */
export function checkAmounts(amounts: Readonly<Record<string, number>>): void {
  for (const [name, amount] of Object.entries(amounts)) {
    if (!(Number.isFinite(amount) && amount >= 0))
      throw wrong(`spend.${name}`, "a number of 0 or more", amount);
  }
}

function least(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function wrong(field: string, expected: string, value: unknown): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}, not ${showValue(value)}.`, {
    details: { field },
  });
}
