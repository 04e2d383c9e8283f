import type { RequestOptions } from "../request-reply.ts";
import type { Step, StepOptions } from "./model.ts";

/** Sends commands: a MessagingService. */
export interface CommandSender {
  sendCommand(agentId: string, command: string, input: unknown, options?: RequestOptions): Promise<unknown>;
}

/** A step that another agent does. */
export interface CommandStepOptions<D> extends StepOptions {
  readonly agentId: string;
  readonly command: string;
  /** The command that undoes it. */
  readonly compensation?: string;
  /** What the command is given; default: the saga's data. */
  readonly input?: (data: D) => unknown;
}

/**
 * A step whose action, and whose compensation, is a command to another agent. The agent's answer is the result. A command that is
 * sent again, after an attempt without an answer, carries the step's key in the header `x-idempotency-key` as before.
 */
export function commandStep<D>(name: string, sender: CommandSender, options: CommandStepOptions<D>): Step<D> {
  const { agentId, command, compensation, input = (data: D): unknown => data, ...rest } = options;
  const send =
    (what: string): Step<D>["action"] =>
    (data, { key, signal }) => {
      const headers = { "x-idempotency-key": key };
      const timeoutMs = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
      return sender.sendCommand(agentId, what, input(data), { headers, signal, ...timeoutMs });
    };
  const undo = compensation === undefined ? undefined : send(compensation);
  return { ...rest, name, action: send(command), compensation: undo };
}
