import { flushCompileCache } from "node:module";
import { createInterface } from "node:readline";
import type { ChildModule } from "../conformance/harness.ts";
import type { ServicePort } from "../service-port.ts";
import { ChildBroker } from "./child-broker.ts";
import type { ChildParts, Playing } from "./child-parts.ts";
import { playConsumer } from "./consumer.ts";
import { CrashPoints } from "./crash-points.ts";
import { EventLines } from "./event-lines.ts";
import { playPublisher } from "./publisher.ts";
import { playRequester, playResponder } from "./requests.ts";
import type { ChildOrder, ChildSpec, Role } from "./spec.ts";

// One process of a run: its first line of input says what it is (a `ChildSpec`), those after it what to do (a
// `ChildOrder`). It ends with its input, so that none outlives its parent, and by SIGTERM, after it has stopped its service.

const GRACE_MS = 5000;

const [modulePath] = process.argv.slice(2);
// A process that waits to be told what it is has loaded everything already.
const warm = modulePath === undefined ? undefined : import(modulePath);
// What it compiled is kept now, for those that are started next: a process that is killed keeps nothing.
warm?.then(
  () => flushCompileCache(),
  () => undefined,
);
const input = createInterface({ input: process.stdin });
let begun: Promise<Playing> | undefined;
input.on("line", (line) => {
  if (begun === undefined) begun = begin(JSON.parse(line) as ChildSpec);
  else void begun.then((playing) => playing.order?.(JSON.parse(line) as ChildOrder));
  begun.catch(fail);
});
input.on("close", () => process.exit(0));

async function begin(spec: ChildSpec): Promise<Playing> {
  const lines = new EventLines(spec.epochMs);
  const crashes = new CrashPoints(spec.crash);
  const { createBroker, createService } = (await import(spec.module)) as ChildModule;
  const { role } = spec;
  const watch = { lines, crashes, ...(role.kind === "consumer" ? { group: role.group } : {}) };
  const started = async (agentId: string): Promise<ServicePort> => {
    const inner = await createBroker(spec.place, spec.address === undefined ? {} : { address: spec.address });
    const service = createService({
      agentId,
      broker: new ChildBroker(inner, watch),
      ...(role.kind === "consumer" ? { handlerTimeoutMs: role.handlerTimeoutMs } : {}),
    });
    await service.start();
    return service;
  };
  const starting = Promise.all(agentsOf(role).map(started));
  process.on("SIGTERM", () => void starting.then(stop));
  const services = await starting;
  const [service] = services as [ServicePort];
  const playing = await play(role, { name: spec.name, lines, crashes, service, services });
  lines.add({ type: "ready" });
  return playing;
}

async function play(role: Role, parts: ChildParts): Promise<Playing> {
  if (role.kind === "publisher") return playPublisher(role, parts);
  if (role.kind === "consumer") await playConsumer(role, parts);
  else if (role.kind === "responder") await playResponder(role, parts);
  else playRequester(role, parts);
  return {};
}

function agentsOf(role: Role): readonly string[] {
  if (role.kind === "requester") return role.agentIds;
  return [role.kind === "publisher" ? role.writer : role.agentId];
}

async function stop(services: readonly ServicePort[]): Promise<void> {
  await Promise.all(services.map((service) => service.stop({ gracePeriodMs: GRACE_MS })));
  process.exit(0);
}

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
}
