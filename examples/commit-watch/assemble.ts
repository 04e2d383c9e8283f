import path from "node:path";
import { loadAgents, MessagingService } from "../../src/index.ts";
import { HISTORY, JOURNAL, SCANNED, TRIAGE } from "./channels.ts";
import { DrillBroker } from "./drill-broker.ts";
import { useFingerprintKey } from "./fingerprint.ts";
import { KEPT_MS } from "./kept-log.ts";
import { Operator } from "./operator.ts";
import type { RunFolder } from "./run-folder.ts";
import { backlogOf, type Backlog } from "./terminal/account.ts";

const MANIFESTS = ["commit-source.yaml", "security-scanner.yaml", "triage.yaml"];
/** Read again from their beginning: they are kept whether they were handled or not. */
const LOGS = [SCANNED, JOURNAL];

/** Everybody who takes part. */
export interface Team {
  /** In the order of the manifests, then the operator's. */
  readonly all: readonly MessagingService[];
  readonly operator: Operator;
  /** What earlier starts of the run left to do. */
  readonly carried: Backlog;
}

/** Three agents from their manifests and the operator, all on one broker, which keeps its messages in the run's folder. */
export async function assemble(run: RunFolder, say: (line: string) => void): Promise<Team> {
  const broker = new DrillBroker({ directory: run.brokerFolder, dedupeWindowMs: KEPT_MS });
  const desk = new MessagingService({ agentId: "operator", broker });
  await desk.start();
  for (const { channel } of LOGS) await broker.admin.declare(channel, { retentionMs: KEPT_MS });
  await forgetConversations(broker);
  const carried = await backlogOf(desk);
  const operator = new Operator(desk, say);
  await operator.follow();
  tellStory(run, operator, say);
  useFingerprintKey(run.key);
  const files = MANIFESTS.map((name) => path.join(import.meta.dirname, name));
  const inbox = broker.createInbox({ horizonMs: KEPT_MS });
  const loaded = await loadAgents(files, { broker, inbox });
  // Who answers is there before who asks: what an earlier start left is handled at once.
  for (const { agent } of loaded.toReversed()) await agent.start();
  for (const { started } of loaded) await started();
  return { all: [...loaded.map(({ agent }) => agent), desk], operator, carried };
}

function tellStory(
  { resumed, replaces, begunAt }: RunFolder,
  { scanned }: Operator,
  say: (line: string) => void,
): void {
  const when = begunAt.slice(0, 16).replace("T", " ");
  if (resumed) say(`resumed   the run of ${when} UTC had not ended: ${scanned} commits are scanned already`);
  if (replaces) say("anew      another run had not ended in this folder: it is thrown away");
}

/**
 * Who asked was killed and waits for no answer: what is still to be known is asked again. Events are another matter, they
 * are handled whoever published them.
 */
async function forgetConversations({ admin }: DrillBroker): Promise<void> {
  for (const channel of await admin.list()) {
    if (channel.startsWith("reply.")) await admin.remove(channel);
    else if (/^agent\..*\.commands\./.test(channel) || [TRIAGE.channel, HISTORY.channel].includes(channel))
      await admin.purge(channel);
  }
}
