import type { Handler, HandlerContext, Message, MessagingService } from "../../src/index.ts";
import { ANSWERS, DRAFTS, NOTES, QUESTIONS, REVIEWS, TASKS, type Note } from "./channels.ts";
import type { Asked, Model, Said } from "./model.ts";

/** Takes up its part of the conversation. */
export type Part = (agent: MessagingService, model: Model) => Promise<unknown>;

/** Header with what the model took for a message. */
export const TOKENS = "x-tokens";
const cost = ({ tokens }: Said) => ({ headers: { [TOKENS]: String(tokens) } });
const TOPICS = 3;

/** Asks the model, on the account of the conversation: over its budget, the message that is handled goes to the dead letters. */
const ask = async (model: Model, context: HandlerContext, asked: Omit<Asked, "signal">): Promise<Said> => {
  const said = await model({ ...asked, signal: context.signal });
  await context.spend({ tokens: said.tokens });
  return said;
};

/** Splits a question into things to find out. */
export const planner: Part = (agent, model) =>
  agent.subscribe(QUESTIONS, async ({ payload: { question } }, context) => {
    const task = `Name ${TOPICS} things to find out about the question, one a line, nothing else.`;
    const said = await ask(model, context, { role: "planner", task, material: question });
    const topics = lines(said.text).slice(0, TOPICS);
    const [first, ...others] = topics.map((topic, at) => ({ question, topic, n: at + 1, of: topics.length }));
    if (first === undefined) throw new Error("the plan is empty");
    await agent.publish(TASKS, first, cost(said));
    for (const other of others) await agent.publish(TASKS, other);
  });

/** Finds out one thing. Researchers are one group: each task goes to one of them. */
export const researcher: Part = (agent, model) =>
  agent.subscribe(
    TASKS,
    async ({ payload: task }, context) => {
      const said = await ask(model, context, { ...FIND_OUT, material: task.topic });
      await agent.publish(NOTES, { ...task, text: said.text }, cost(said));
    },
    { group: "researchers", maxConcurrency: 1 },
  );

const FIND_OUT = { role: "researcher", task: "Say in two sentences what is known about this." } as const;

/** Writes when all notes of a conversation are there, and again until the reviewer is content. */
export const writer: Part = async (agent, model) => {
  const notes = new Map<string, Map<number, Note>>();
  const ofConversation = ({ metadata: { correlationId = "" } }: Message): Map<number, Note> => {
    const known = notes.get(correlationId) ?? new Map<number, Note>();
    notes.set(correlationId, known);
    return known;
  };
  const write = async (context: HandlerContext, question: string, revision: number, material: string) => {
    const task = `Answer in one paragraph, from the notes alone: ${question}`;
    const said = await ask(model, context, { role: "writer", task, material });
    await agent.publish(DRAFTS, { question, text: said.text, revision }, cost(said));
  };
  const asText = (known: ReadonlyMap<number, Note>): string =>
    [...known.values()]
      .toSorted((a, b) => a.n - b.n)
      .map(({ text }) => text)
      .join("\n");

  await agent.subscribe(NOTES, async (message, context) => {
    const { payload } = message;
    const known = ofConversation(message).set(payload.n, payload);
    if (known.size === payload.of) await write(context, payload.question, 1, asText(known));
  });
  await agent.subscribe(REVIEWS, async (message, context) => {
    const { question, text, revision, remarks } = message.payload;
    const material = `${asText(ofConversation(message))}\n${text}\n${remarks}`;
    await write(context, question, revision + 1, material);
  });
};

/** Lets a draft through, or says what must be better. */
export const reviewer: Part = (agent, model) => {
  const review: Handler<{ question: string; text: string; revision: number }> = async (message, context) => {
    const { payload: draft } = message;
    const task = `Is this a good answer to "${draft.question}"? Say APPROVED, or REVISE: and what must be better.`;
    const said = await ask(model, context, { role: "reviewer", task, material: draft.text });
    if (said.text.startsWith("APPROVED")) await agent.publish(ANSWERS, draft, cost(said));
    else await agent.publish(REVIEWS, { ...draft, remarks: said.text }, cost(said));
  };
  return agent.subscribe(DRAFTS, review);
};

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
