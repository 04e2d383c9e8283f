import { HeraldError } from "../../core/errors.ts";
import { failoverControlOf, type FailoverCounts } from "../../service/failover-control.ts";
import { withAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { count } from "../text.ts";

/** What `herald broker failover` and `herald broker failback` were given. */
export interface BrokerSwitchCommand {
  readonly connection: Connection;
  readonly to: "fallback" | "primary";
  /** Says what a switch would move and switches nothing. */
  readonly dryRun: boolean;
}

/** Sends publishers of every process to one side of a failover broker. */
export async function brokerSwitch(command: BrokerSwitchCommand, session: Session): Promise<number> {
  const { to, dryRun } = command;
  const { output } = session;
  return withAgents(session, command.connection, {}, async ({ broker }) => {
    const control = failoverControlOf(broker);
    if (control === undefined) throw noFailover(broker.name);
    const counts = await control.counts();
    if (!dryRun)
      await control.switchTo(to === "fallback" ? "isolated" : "distributed", `herald broker to the ${to}`);
    if (output.options.json)
      output.json({ type: "broker-switch", broker: broker.name, to, mode: control.mode, dryRun, ...counts });
    else output.sentence(sentence(command, control.mode, counts));
    return EXIT.done;
  });
}

function sentence({ to, dryRun }: BrokerSwitchCommand, mode: string, counts: FailoverCounts): string {
  const left = `${count(counts.undrained, "message")} on the fallback that the primary has not got, ${counts.unhandled} not handled there`;
  if (dryRun) return `A switch would send publishers to the ${to}. Now: ${mode}; ${left}`;
  return `Publishers of every process write to the ${to} now: ${mode}. There were ${left}`;
}

function noFailover(name: string): HeraldError {
  return new HeraldError("UNSUPPORTED", `The ${name} broker has one side: there is nothing to switch.`, {
    details: { hint: "Name both sides: --url 'failover:redis://localhost|file:./spool'." },
  });
}
