import type { Handler } from "../../core/middleware.ts";
import { hashMessage, hashText } from "../conformance/hash.ts";
import type { ChildParts } from "./child-parts.ts";
import type { Behaviour, ConsumerRole } from "./spec.ts";

/** Handles what comes, and tells every start, failure and effect. */
export async function playConsumer(role: ConsumerRole, parts: ChildParts): Promise<void> {
  const { group, guarantee, ordering, maxConcurrency, prefetch } = role;
  await parts.service.subscribe(role.pattern, handlerOf(role, parts), {
    group,
    guarantee,
    ordering,
    maxConcurrency,
    prefetch,
    retry: role.retry,
  });
}

function handlerOf(role: ConsumerRole, { lines, crashes, service, name }: ChildParts): Handler {
  const { group, effects, behaviour } = role;
  return async ({ id, channel, payload, metadata }, { attempt }) => {
    lines.add({
      type: "start",
      id,
      group,
      attempt,
      consumer: name,
      channel,
      hash: hashMessage(payload, metadata.headers),
    });
    crashes.pass("handler.start");
    if ((payload as { readonly poison?: boolean }).poison === true) process.kill(process.pid, "SIGKILL");
    if (await isThrowing(behaviour, `${id} ${attempt}`)) {
      lines.add({ type: "fail", id, group });
      throw new Error("This attempt was to fail.");
    }
    if (effects === undefined) lines.add({ type: "commit.ok", id, group });
    else await service.publish(effects, { of: id });
    crashes.pass("handler.end");
  };
}

/** Behaves by chance of message and attempt; true when the handler is to throw. */
async function isThrowing(behaviour: Behaviour, seed: string): Promise<boolean> {
  const { throws = 0, hangs = 0, blocks = 0, blockMs = 0, slow = 0, slowMs = 0 } = behaviour;
  let chance = (hashText(seed) % 10_000) / 10_000;
  if ((chance -= throws) < 0) return true;
  if ((chance -= hangs) < 0) await new Promise(() => undefined);
  else if ((chance -= blocks) < 0) block(blockMs);
  else if ((chance -= slow) < 0) await new Promise((resolve) => setTimeout(resolve, slowMs));
  return false;
}

function block(forMs: number): void {
  const endsAt = performance.now() + forMs;
  while (performance.now() < endsAt);
}
