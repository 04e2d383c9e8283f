import { isHeraldError } from "../../core/errors.ts";
import { commandChannel } from "../../core/names.ts";
import { nearest } from "../../core/nearest.ts";
import { checkChannel } from "../../core/pattern.ts";
import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { eachDatum, openInputs } from "../each-datum.ts";
import { EXIT } from "../exit-codes.ts";
import { failureOf, type Failure } from "../failure.ts";
import { contractsOf } from "../manifest-contracts.ts";
import type { Session } from "../session.ts";
import { settle } from "../summary.ts";
import { jsonText } from "../text.ts";

/** What `herald request` was given. */
export interface RequestCommand {
  /** `<agent>.<command>`, or a channel. */
  readonly target: string;
  readonly data: string | undefined;
  readonly connection: Connection;
  readonly timeoutMs: number;
  readonly settleMs: number;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** Asks an agent and prints the answer; one answer a line where there are many questions. */
export async function request(command: RequestCommand, session: Session): Promise<number> {
  const { target, timeoutMs, headers } = command;
  const { output, interrupt } = session;
  checkChannel(target);
  const inputs = await openInputs(command.data, session);
  const publishes = (agents: InProcessAgents["agents"]) => contractsOf(agents, target);
  return withAgents(session, command.connection, { publishes }, async (agents) => {
    const channel = await channelOf(agents, target);
    const options = {
      type: channel === target ? "query" : "command",
      timeoutMs,
      signal: interrupt.signal,
      ...(headers === undefined ? {} : { headers }),
    };
    const ask = async (input: unknown): Promise<void> => {
      const startedAt = performance.now();
      const payload: unknown = await agents.operator.request(channel, input, options);
      const elapsedMs = Math.round((performance.now() - startedAt) * 1000) / 1000;
      if (output.options.json) output.json({ type: "reply", target, channel, payload, elapsedMs });
      else output.line(jsonText(payload, inputs.many ? 0 : 2));
    };
    const { exit } = await eachDatum(inputs, session, ask, (error) => explained(error, agents, target));
    // Who asked in vain does not want to wait for more.
    if (exit === EXIT.done) await settle(agents, session, command.settleMs);
    else agents.hurry();
    return exit;
  });
}

/**
 * `scanner.scan` is a command where an agent of that name runs in this process. Where none runs here it is a command
 * unless the broker knows a channel of that name.
 */
async function channelOf({ names, agents, operator }: InProcessAgents, target: string): Promise<string> {
  const [agentId = "", name, ...more] = target.split(".");
  if (name === undefined || more.length > 0) return target;
  if (agents.length > 0) return names.includes(agentId) ? commandChannel(agentId, name) : target;
  const known = (await operator.listChannels()).some(({ channel }) => channel === target);
  return known ? target : commandChannel(agentId, name);
}

/** Where nobody answers, says which command was probably meant, or which there are. */
function explained(error: unknown, { agents }: InProcessAgents, target: string): Failure {
  const failure = failureOf(error);
  if (!isHeraldError(error) || (error.code !== "NO_RESPONDER" && error.code !== "NOT_FOUND")) return failure;
  const known = agents.flatMap(({ manifest }) =>
    manifest.messaging.commands.map(({ name }) => `${manifest.agentId}.${name}`),
  );
  const near = nearest(target, known);
  if (near !== undefined && near !== target) return { ...failure, hint: `Did you mean ${near}?` };
  return known.length === 0
    ? failure
    : { ...failure, hint: `These are answered: ${known.toSorted().join(", ")}.` };
}
