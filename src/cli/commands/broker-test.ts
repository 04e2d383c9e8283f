import { createId } from "../../core/ids.ts";
import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { survives } from "../durability.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";

/** What `herald broker test` was given. */
export interface BrokerTestCommand {
  readonly connection: Connection;
  /** How many messages go there and back. */
  readonly messages: number;
  readonly timeoutMs: number;
}

/** Sends messages through the broker and back to itself, and says how that went; exit code 3 when one did not come. */
export async function brokerTest(command: BrokerTestCommand, session: Session): Promise<number> {
  const { output } = session;
  return withAgents(session, command.connection, {}, async ({ operator, broker }) => {
    const came = await thereAndBack({ operator, broker }, command);
    const { durability } = operator.broker.capabilities;
    const { messages } = command;
    const figures = { p50Ms: at(came, 0.5), p95Ms: at(came, 0.95) };
    if (output.options.json)
      output.json({
        type: "broker-test",
        broker: broker.name,
        durability,
        messages,
        returned: came.length,
        ...figures,
      });
    else {
      const times = came.length > 0 ? `, ${figures.p50Ms} ms in the middle, p95 ${figures.p95Ms} ms` : "";
      output.sentence(`${came.length} of ${messages} messages came back${times}`);
      output.sentence(`Durability ${durability}: what is acknowledged ${survives(durability)}`);
    }
    return came.length === messages ? EXIT.done : EXIT.check;
  });
}

/** Milliseconds that each message took, one after the other, so that what is measured is the way and not a queue. */
async function thereAndBack(
  { operator, broker }: Pick<InProcessAgents, "operator" | "broker">,
  { messages, timeoutMs }: BrokerTestCommand,
): Promise<number[]> {
  const channel = `herald-test.${createId()}`;
  const group = `herald-test-${createId()}`;
  let arrived: (() => void) | undefined;
  const subscription = await operator.subscribe(channel, () => arrived?.(), { group });
  const took: number[] = [];
  const endsAt = performance.now() + timeoutMs;
  try {
    while (took.length < messages) {
      const sentAt = performance.now();
      const back = new Promise<boolean>((resolve) => (arrived = () => resolve(true)));
      await operator.publish(channel, { n: took.length });
      if (!(await within(back, endsAt - performance.now()))) break;
      took.push(performance.now() - sentAt);
    }
  } finally {
    await subscription.unsubscribe();
    await broker.admin?.remove(channel);
  }
  return took;
}

async function within(promise: Promise<boolean>, limitMs: number): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), Math.max(0, limitMs));
  try {
    return await Promise.race([promise, over]);
  } finally {
    clearTimeout(timer);
  }
}

function at(took: readonly number[], share: number): number | null {
  const sorted = took.toSorted((a, b) => a - b);
  const found = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return found === undefined ? null : Math.round(found * 100) / 100;
}
