import { toHeraldError, type HeraldError } from "../core/errors.ts";
import type { PublishOptions } from "../core/message.ts";
import { wrongOption } from "./check-options.ts";

/** One message of a batch. */
export interface BatchMessage {
  readonly channel: string;
  readonly payload: unknown;
  readonly options?: PublishOptions;
}

/** What became of one message of a batch, in its place. */
export type BatchResult =
  | { readonly ok: true; readonly id: string }
  | { readonly ok: false; readonly error: HeraldError };

/** Publishes each; rejects only with `INVALID_ARGUMENT` for what is no list. */
export async function publishEach(
  messages: readonly BatchMessage[],
  publish: (channel: string, payload: unknown, options?: PublishOptions) => Promise<string>,
): Promise<readonly BatchResult[]> {
  if (!Array.isArray(messages)) {
    throw wrongOption("messages", "an array of { channel, payload, options }", messages);
  }
  const results = messages.map((message: BatchMessage | undefined) =>
    publish(message?.channel as string, message?.payload, message?.options).then(
      (id): BatchResult => ({ ok: true, id }),
      (error: unknown): BatchResult => ({ ok: false, error: toHeraldError(error) }),
    ),
  );
  return Promise.all(results);
}
