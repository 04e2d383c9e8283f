import { withAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { count } from "../text.ts";

/** What `herald conversation` was given. */
export interface ConversationCommand {
  readonly action: "stop" | "release" | "used";
  readonly correlationId: string;
  readonly connection: Connection;
}

/** Stops a conversation, lets it go on, or tells what it used. */
export async function conversation(command: ConversationCommand, session: Session): Promise<number> {
  const { action, correlationId } = command;
  const { output } = session;
  return withAgents(session, command.connection, {}, async ({ operator }) => {
    const { conversations } = operator;
    if (action === "used") {
      const { messages, spend } = await conversations.used(correlationId);
      if (output.options.json) output.json({ type: "used", correlationId, messages, spend });
      else output.sentence([count(messages, "message"), ...amounts(spend)].join(", "));
      return EXIT.done;
    }
    if (action === "stop") await conversations.stop(correlationId);
    const done = action === "stop" || (await conversations.release(correlationId));
    if (output.options.json) output.json({ type: action, correlationId, done });
    else output.sentence(said(action, correlationId, done));
    return done ? EXIT.done : EXIT.failed;
  });
}

function said(action: "stop" | "release", correlationId: string, done: boolean): string {
  if (action === "stop")
    return `Conversation ${correlationId} is stopped: its messages go to the dead letters, within two seconds everywhere.`;
  return done
    ? `Conversation ${correlationId} may go on; herald dlq redrive sends back what it left.`
    : `Conversation ${correlationId} was not stopped.`;
}

function amounts(spend: Readonly<Record<string, number>>): string[] {
  return Object.entries(spend).map(([name, amount]) => `${amount} ${name}`);
}
