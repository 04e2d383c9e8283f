import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { cutText, textOf } from "../history/text.ts";
import { short } from "../operator.ts";

/** The parts of Herald's events that are told here. */
interface Settled {
  readonly delivery: {
    readonly attempt: number;
    readonly envelope: { readonly id: string; readonly channel: string };
  };
  readonly outcome: {
    readonly kind: string;
    readonly error?: { readonly code: string; readonly message: string };
  };
}

interface DeadLettered {
  readonly envelope: { readonly id: string; readonly channel: string };
  readonly reason: string;
  readonly attempts: number;
}

/** More lines of one kind than this tell nothing new; the account counts on. */
const MAX_LINES = 20;

/**
 * Tells of every failed attempt and every dead letter, whichever agent of the process it happens to. Herald publishes both
 * on `node:diagnostics_channel`; nothing has to be built into an agent for it. Call what is returned to stop.
 */
export function tellEvents(say: (line: string) => void): () => void {
  let told = 0;
  const tell = (line: string): void => {
    told++;
    if (told <= MAX_LINES) say(line);
    if (told === MAX_LINES) say("… and so on: further failures are only counted");
  };
  const onSettled = (event: unknown): void => {
    const { delivery, outcome } = event as Settled;
    if (outcome.error === undefined) return;
    const { id, channel } = delivery.envelope;
    tell(`failed    ${channel} ${short(id)}, attempt ${delivery.attempt}: ${reasonOf(outcome.error)}`);
  };
  const onDeadLettered = (event: unknown): void => {
    const { envelope, reason, attempts } = event as DeadLettered;
    tell(`dead      ${envelope.channel} ${short(envelope.id)}, attempts ${attempts}: ${reason}`);
  };
  subscribe("herald:settled", onSettled);
  subscribe("herald:dead-lettered", onDeadLettered);
  return () => {
    unsubscribe("herald:settled", onSettled);
    unsubscribe("herald:dead-lettered", onDeadLettered);
  };
}

/** What a handler threw is our own text. Other errors may quote the message, and the message may hold a secret. */
function reasonOf({ code, message }: { readonly code: string; readonly message: string }): string {
  return code === "HANDLER_FAILED" ? cutText(textOf(Buffer.from(message)), 120) : code;
}
