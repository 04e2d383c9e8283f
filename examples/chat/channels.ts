import { defineChannel } from "../../src/index.ts";

const text = { type: "string", minLength: 1 } as const;
const object = <const P extends object>(properties: P) =>
  ({ type: "object", required: Object.keys(properties), properties }) as const;

/** One thing to find out, and which of how many it is. */
export interface Task {
  readonly question: string;
  readonly topic: string;
  readonly n: number;
  readonly of: number;
}

/** What a researcher found. */
export interface Note extends Task {
  readonly text: string;
}

/** What the writer made of the notes. */
export interface Draft {
  readonly question: string;
  readonly text: string;
  readonly revision: number;
}

/** What the reviewer says of a draft. */
export interface Review extends Draft {
  readonly remarks: string;
}

const task = { question: text, topic: text, n: { type: "integer" }, of: { type: "integer" } } as const;
const draft = { question: text, text, revision: { type: "integer" } } as const;

export const QUESTIONS = defineChannel<{ readonly question: string }>("chat.questions", {
  schema: object({ question: text }),
});
export const TASKS = defineChannel<Task>("chat.tasks", { schema: object(task) });
export const NOTES = defineChannel<Note>("chat.notes", { schema: object({ ...task, text }) });
export const DRAFTS = defineChannel<Draft>("chat.drafts", { schema: object(draft) });
export const REVIEWS = defineChannel<Review>("chat.reviews", { schema: object({ ...draft, remarks: text }) });
export const ANSWERS = defineChannel<Draft>("chat.answers", { schema: object(draft) });
