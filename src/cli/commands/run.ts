import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { printDeadLetters } from "../dead-letter-view.ts";
import { survives } from "../durability.ts";
import { EXIT } from "../exit-codes.ts";
import { showLive } from "../live.ts";
import type { Session } from "../session.ts";
import { printSummary } from "../summary.ts";
import { count } from "../text.ts";

/** What `herald run` was given. */
export interface RunCommand {
  readonly connection: Connection;
  readonly untilIdle: boolean;
}

/** Runs agents until they are interrupted, or until nothing is left to do; then says what happened. */
export async function run({ connection, untilIdle }: RunCommand, session: Session): Promise<number> {
  const { output, interrupt } = session;
  return withAgents(session, connection, {}, async (agents) => {
    announce(agents, session, untilIdle);
    const hideLive = showLive(output, () => agents.account());
    try {
      await (untilIdle ? agents.untilIdle() : interrupt.ended());
    } finally {
      hideLive();
    }
    // What still runs is part of the account.
    await agents.drain();
    printSummary(agents, output);
    await printDeadLetters(agents, output);
    return EXIT.done;
  });
}

function announce(agents: InProcessAgents, { output }: Session, untilIdle: boolean): void {
  const { name: broker, capabilities } = agents.operator.broker;
  if (output.options.json) {
    output.json({ type: "started", agents: agents.names, broker, durability: capabilities.durability });
    return;
  }
  const end = untilIdle ? "They stop when nothing is left to do." : "Ctrl-C stops them.";
  output.note(`${count(agents.names.length, "agent")} started: ${agents.names.join(", ")}. ${end}`);
  if (broker === "memory") return;
  output.note(`Broker ${broker}: what is acknowledged ${survives(capabilities.durability)}.`);
}
