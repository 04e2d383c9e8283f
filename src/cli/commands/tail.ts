import type { StartFrom } from "../../core/broker.ts";
import type { Message } from "../../core/message.ts";
import { checkPattern } from "../../core/pattern.ts";
import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import type { Session } from "../session.ts";
import { cut, jsonText, printable } from "../text.ts";

/** What `herald tail` was given. */
export interface TailCommand {
  readonly pattern: string;
  readonly connection: Connection;
  /** Ends after so many messages. */
  readonly limit: number | undefined;
  readonly untilIdle: boolean;
  /** Only messages for which this expression holds. */
  readonly where: string | undefined;
  /** Undefined: only what is published from now on. */
  readonly from: StartFrom | undefined;
}

/** Prints the messages of a pattern while agents exchange them. */
export async function tail(command: TailCommand, session: Session): Promise<number> {
  const { pattern, limit, untilIdle, where, from } = command;
  const { output, interrupt } = session;
  checkPattern(pattern);
  const full = Promise.withResolvers<void>();
  let shown = 0;
  const show = async (message: Message): Promise<void> => {
    if (limit !== undefined && shown >= limit) return;
    shown++;
    print(message, output);
    await output.ready();
    if (shown === limit) full.resolve();
  };
  const chosen = {
    ...(where === undefined ? {} : { filter: { expression: where } }),
    ...(from === undefined ? {} : { from }),
  };
  const beforeActivity = async ({ operator }: InProcessAgents): Promise<void> => {
    await operator.subscribe(pattern, show, { group: null, maxConcurrency: 1, ...chosen });
    if (command.connection.manifest.length === 0)
      output.note(`Waiting for messages of '${pattern}'. Ctrl-C ends.`);
  };
  return withAgents(session, command.connection, { beforeActivity }, async (agents) => {
    await Promise.race([full.promise, interrupt.ended(), ...(untilIdle ? [agents.untilIdle()] : [])]);
    return EXIT.done;
  });
}

function print(message: Message, output: Output): void {
  if (output.options.json) {
    output.json(message);
    return;
  }
  const { timestamp, channel, source, metadata, payload } = message;
  const parts = [
    `${timestamp.slice(11, 23)}Z`,
    channel,
    ...(metadata.type === undefined ? [] : [metadata.type]),
    source,
  ];
  output.line(cut(printable(parts.join("  ")), output.width));
  output.line(cut(`  ${jsonText(payload)}`, output.width));
}
