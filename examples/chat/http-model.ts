import { RejectError } from "../../src/index.ts";
import type { Model } from "./model.ts";

/** The part of an answer that is read. */
interface Completion {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
  readonly usage?: { readonly total_tokens?: number };
}

/**
 * A model behind an OpenAI-compatible address: `https://:<key>@host/v1?model=<name>`, the key left out where there is none.
 * What may get better (429, 5xx, no connection) is an ordinary error, so that it is tried again; anything else is not.
 */
export function httpModel({ origin, pathname, password, searchParams }: URL): Model {
  const url = `${origin}${pathname.replace(/\/$/, "")}/chat/completions`;
  const key = decodeURIComponent(password);
  const headers = {
    "content-type": "application/json",
    ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
  };
  return async ({ task, material, signal }) => {
    const messages = [
      { role: "system", content: task },
      { role: "user", content: material },
    ];
    const body = JSON.stringify({ model: searchParams.get("model") ?? "default", messages });
    const response = await fetch(url, { method: "POST", headers, body, signal });
    if (!response.ok) throw failure(response.status, await response.text());
    const { choices, usage } = (await response.json()) as Completion;
    const text = choices[0]?.message.content.trim() ?? "";
    if (text === "") throw new Error("the model said nothing");
    return { text, tokens: usage?.total_tokens ?? 0 };
  };
}

function failure(status: number, text: string): Error {
  const message = `the model answered ${status}: ${text.slice(0, 200)}`;
  return status === 429 || status >= 500 ? new Error(message) : new RejectError(message);
}
