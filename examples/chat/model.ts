import { httpModel } from "./http-model.ts";
import { scriptedModel } from "./scripted-model.ts";

/** Who asks the model. */
export type Role = "planner" | "researcher" | "writer" | "reviewer";

/** One question to a language model. */
export interface Asked {
  readonly role: Role;
  /** What the model is to do. */
  readonly task: string;
  /** What it is to do it with. */
  readonly material: string;
  readonly signal: AbortSignal;
}

/** Its answer, and what that cost. */
export interface Said {
  readonly text: string;
  /** Tokens read and written. */
  readonly tokens: number;
}

/** A language model. It may take its time, and it may fail: whoever asks is tried again. */
export type Model = (asked: Asked) => Promise<Said>;

/** The model that `CHAT_MODEL` names; a scripted one where it names none. */
export function modelFrom(env: NodeJS.ProcessEnv): Model {
  const address = env["CHAT_MODEL"];
  return address === undefined || address === "" ? scriptedModel() : httpModel(new URL(address));
}
