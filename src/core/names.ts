import { HeraldError, showValue } from "./errors.ts";

const AGENT_ID = /^[A-Za-z0-9_:-]{1,100}$/;

/** Where a message to every agent goes. */
export const BROADCAST_CHANNEL = "hub-broadcast";

/** The channel of one agent's own messages: `agent-<agentId>`. */
export function agentChannel(agentId: string): string {
  return `agent-${agentId}`;
}

/** The channel of one command of one agent: `agent.<agentId>.commands.<name>`. */
export function commandChannel(agentId: string, command: string): string {
  return `agent.${agentId}.commands.${command}`;
}

/** What channels of dead letters begin with, unless an agent names its own. */
export const DEAD_LETTERS = "dlq.";

/** The default channel of an agent's dead letters: `dlq.<agentId>`. */
export function deadLetterChannel(agentId: string): string {
  return DEAD_LETTERS + agentId;
}

/** True for a channel of dead letters: they are looked at, not handed out. */
export function isDeadLetterChannel(channel: string): boolean {
  return channel.startsWith(DEAD_LETTERS);
}

/** Rejects with `INVALID_ARGUMENT` what cannot be one token of a channel name. */
export function checkAgentId(agentId: unknown): asserts agentId is string {
  if (typeof agentId === "string" && AGENT_ID.test(agentId)) return;
  throw new HeraldError(
    "INVALID_ARGUMENT",
    `agentId must be 1 to 100 characters of A-Z a-z 0-9 _ : -, not ${showValue(agentId)}; it becomes part of channel names.`,
    { details: { field: "agentId" } },
  );
}
