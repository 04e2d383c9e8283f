import { HeraldError, type KeyValueStore, type Message, type MessagingService } from "../../src/index.ts";

interface Payment {
  readonly to: string;
  readonly amount: number;
}

interface Decision {
  readonly verdict: "approved" | "rejected";
  readonly by: string;
  readonly reason?: string;
  /** The command that said so: one that comes again is no second opinion. */
  readonly command: string;
}

/** A payment that a person was asked about, as the broker keeps it. */
interface Case extends Payment {
  readonly since: string;
  readonly decision?: Decision;
}

/** What a person sends with a command. */
interface Wanted {
  readonly id: string;
  readonly by: string;
  readonly reason?: string;
}

const CASES = "approval-cases";
const SMALL = 100;

/** The handlers of the manifest. What they know lies in the broker's own store, so that it outlives this process. */
export default function desk(agent: MessagingService) {
  const cases = (): KeyValueStore => agent.createStores().values;

  return {
    async receive({ id, timestamp, payload: { to, amount } }: Message<Payment>): Promise<void> {
      if (amount < SMALL)
        await agent.publish("payments.approved", { to, amount, by: "desk" }, { id: `${id}:approved` });
      // A message that comes again finds its case, and leaves it as it is.
      else
        await cases().put(CASES, id, JSON.stringify({ to, amount, since: timestamp } satisfies Case), null);
    },

    async waiting(): Promise<readonly (Case & { readonly id: string })[]> {
      const ids = await cases().keys(CASES);
      const all = await Promise.all(ids.map(async (id) => ({ id, ...(await caseOf(cases(), id)).found })));
      return all.filter(({ decision }) => decision === undefined);
    },

    approve: (wanted: Wanted, { id }: Message) => decide(wanted, "approved", id),
    reject: (wanted: Wanted, { id }: Message) => decide(wanted, "rejected", id),
  };

  /** Written down first and told afterwards, under an id that is the same however often it is told. */
  async function decide(wanted: Wanted, verdict: Decision["verdict"], command: string): Promise<Case> {
    const { found, token } = await caseOf(cases(), wanted.id);
    const { to, amount, decision } = found;
    if (decision !== undefined && decision.command !== command) throw tooLate(wanted.id, decision);
    const { by, reason } = wanted;
    const said = reason === undefined ? { by } : { by, reason };
    const decided: Case = { ...found, decision: { verdict, ...said, command } };
    // The token: of two persons who decide at the same moment, one was first.
    const kept = await cases().put(CASES, wanted.id, JSON.stringify(decided), token);
    if (kept === undefined) return decide(wanted, verdict, command);
    await agent.publish(`payments.${verdict}`, { to, amount, ...said }, { id: `${wanted.id}:${verdict}` });
    return decided;
  }
}

async function caseOf(values: KeyValueStore, id: string): Promise<{ found: Case; token: string }> {
  const kept = await values.get(CASES, id);
  if (kept === undefined) throw new HeraldError("NOT_FOUND", `No payment '${id}' has ever waited here.`);
  return { found: JSON.parse(kept.value) as Case, token: kept.token };
}

function tooLate(id: string, { verdict, by }: Decision): HeraldError {
  return new HeraldError("ALREADY_EXISTS", `Payment '${id}' was ${verdict} by ${by} already.`);
}
