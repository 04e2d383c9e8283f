import { MemoryBroker, MessagingService, type Message } from "../../src/index.ts";
import { planner, researcher, reviewer, TOKENS, writer, type Part } from "./agents.ts";
import { ANSWERS, QUESTIONS, type Draft } from "./channels.ts";
import type { Model } from "./model.ts";

/** What came of a question. */
export interface Outcome {
  /** Null: the conversation was stopped. */
  readonly answer: Draft | null;
  /** Why it was stopped. */
  readonly stopped: string | null;
  readonly messages: number;
  /** Times that somebody was tried again, because the model had failed. */
  readonly retried: number;
  /** Tokens by agent. */
  readonly tokens: Readonly<Record<string, number>>;
}

/** What is asked, of whom, and who is told. */
export interface RunOptions {
  readonly question: string;
  readonly model: Model;
  /** Messages that may follow from one another; then the conversation is stopped. */
  readonly maxHops: number;
  /** Tokens that the conversation may cost; then it is stopped. */
  readonly maxTokens: number;
  /** Told of every message of the conversation, in the order in which they were published. */
  readonly onMessage: (message: Message) => void;
}

/** How long an answer may take. */
const PATIENCE_MS = 180_000;

const PARTS: readonly (readonly [string, Part])[] = [
  ["planner", planner],
  ["researcher-1", researcher],
  ["researcher-2", researcher],
  ["researcher-3", researcher],
  ["writer", writer],
  ["reviewer", reviewer],
];

/** Asks the agents one question; resolves with their answer, or with why there is none. */
export async function runChat({
  question,
  model,
  maxHops,
  maxTokens,
  onMessage,
}: RunOptions): Promise<Outcome> {
  const broker = new MemoryBroker();
  const retry = { maxAttempts: 3, backoff: { initialDelayMs: 50 } };
  const services = PARTS.map(([agentId, part]) => {
    const agent = new MessagingService({ agentId, broker, retry, limits: { maxHops } });
    return { agent, part };
  });
  const person = new MessagingService({ agentId: "person", broker });
  const ended = Promise.withResolvers<Pick<Outcome, "answer" | "stopped">>();
  const tokens: Record<string, number> = {};
  let messages = 0;

  await person.start();
  await person.subscribe("chat.#", (message) => {
    messages++;
    const spent = Number(message.metadata.headers?.[TOKENS] ?? 0);
    if (spent > 0) tokens[message.source] = (tokens[message.source] ?? 0) + spent;
    onMessage(message);
    if (message.channel === ANSWERS.channel)
      ended.resolve({ answer: message.payload as Draft, stopped: null });
  });
  await person.subscribe("dlq.#", ({ metadata: { headers = {} } }) =>
    ended.resolve({ answer: null, stopped: `${headers["x-dlq-code"]}: ${headers["x-dlq-reason"]}` }),
  );
  for (const { agent, part } of services) {
    await agent.start();
    await part(agent, model);
  }

  await person.publish(QUESTIONS, { question }, { budget: { spend: { tokens: maxTokens } } });
  const patience = setTimeout(
    () => ended.resolve({ answer: null, stopped: "nobody answered in time" }),
    PATIENCE_MS,
  );
  const outcome = await ended.promise;
  clearTimeout(patience);
  for (const { agent } of services) await agent.stop();
  const retried = services
    .flatMap(({ agent }) => agent.getMetrics().groups)
    .reduce((sum, group) => sum + group.retried, 0);
  await person.stop();
  return { ...outcome, messages, retried, tokens };
}
