import type { PublishOptions } from "../../core/message.ts";
import { nearest } from "../../core/nearest.ts";
import { checkChannel } from "../../core/pattern.ts";
import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { printDeadLetters } from "../dead-letter-view.ts";
import { eachDatum, openInputs } from "../each-datum.ts";
import { EXIT } from "../exit-codes.ts";
import { channelsOf, contractsOf, listenersOf } from "../manifest-contracts.ts";
import type { Session } from "../session.ts";
import { printSummary, settle } from "../summary.ts";

/** What `herald publish` was given. */
export interface PublishCommand {
  readonly channel: string;
  readonly data: string | undefined;
  readonly connection: Connection;
  readonly validate: boolean;
  readonly settleMs: number;
  readonly message: PublishOptions;
}

/** Publishes one or many payloads; lets the agents that it started settle and says what came of it. */
export async function publish(command: PublishCommand, session: Session): Promise<number> {
  const { channel, validate, message } = command;
  const { output } = session;
  checkChannel(channel);
  const inputs = await openInputs(command.data, session);
  const options = validate
    ? { publishes: (agents: InProcessAgents["agents"]) => contractsOf(agents, channel) }
    : {};
  return withAgents(session, command.connection, options, async (agents) => {
    await noteUnheard(agents, channel, session);
    const { done, failed, exit } = await eachDatum(inputs, session, async (payload) => {
      const id = await agents.operator.publish(channel, payload, message);
      if (output.options.json) output.json({ type: "published", id, channel });
      else if (!inputs.many) output.note(`Published ${id} to '${channel}'.`);
    });
    if ((done === 0 && failed > 0) || agents.agents.length === 0) return exit;
    const settled = await settle(agents, session, command.settleMs);
    printSummary(agents, output);
    await printDeadLetters(agents, output);
    return exit === EXIT.done && settled === "timeout" ? EXIT.temporary : exit;
  });
}

async function noteUnheard(running: InProcessAgents, channel: string, { output }: Session): Promise<void> {
  const { agents, operator } = running;
  if (listenersOf(agents, channel).length > 0) return;
  const reports = await operator.listChannels();
  if (reports.some((report) => report.channel === channel && report.groups.length > 0)) return;
  const near = nearest(
    channel,
    [...channelsOf(agents), ...reports.map((report) => report.channel)].filter((name) => name !== channel),
  );
  const who = agents.length === 0 ? "No group has subscribed to" : "No agent listens on";
  output.note(`${who} '${channel}'.${near === undefined ? "" : ` Did you mean '${near}'?`}`);
}
