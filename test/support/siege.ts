import { onTestFinished } from "vitest";
import type { MemoryBrokerOptions } from "../../src/brokers/memory/broker.ts";
import { createEnvelope, type EnvelopeInit } from "../../src/core/envelope.ts";
import { isHeraldError } from "../../src/core/errors.ts";
import type { MessagingServiceOptions } from "../../src/service/options.ts";
import { world } from "./agents.ts";

/**
 * A broker with an agent that is attacked and one that is not. When the test ends, the second must still be served on its
 * own channel, nothing may have escaped as an unhandled error, and no prototype may have been touched.
 */
export async function siege(
  options: Partial<MessagingServiceOptions> = {},
  bounds: MemoryBrokerOptions = {},
) {
  const { clock, time, broker, agent } = world(bounds);
  const bystander = await agent("bystander");
  const served: unknown[] = [];
  await bystander.subscribe("peaceful", ({ payload }) => void served.push(payload));
  await bystander.publish("peaceful", "before");
  const target = await agent("target", { retry: { maxAttempts: 1 }, ...options });
  const escaped: unknown[] = [];
  const escape = (error: unknown): void => void escaped.push(error);
  process.on("unhandledRejection", escape);
  onTestFinished(() => void process.off("unhandledRejection", escape));

  /** Hands bytes to the broker as another tool would, past every check of ours. */
  const smuggle = async (body: string | Uint8Array, init: Partial<EnvelopeInit> = {}): Promise<void> => {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const id = init.id ?? `foreign-${Math.random().toString(36).slice(2)}`;
    const given = { channel: "victim", source: "attacker", time: clock.now(), ...init, id, body: bytes };
    const [result] = await broker.publish([createEnvelope(given)]);
    if (result?.ok !== true) throw result?.error ?? new Error("no result");
  };
  /** What must hold after every attack. */
  const survives = async (): Promise<void> => {
    await bystander.publish("peaceful", "after");
    await time.until(() => served.at(-1) === "after", "the bystander to be served");
    if (escaped.length > 0) throw new Error("An error escaped.", { cause: escaped[0] });
    for (const key of ["isAdmin", "polluted", "priority", "0"]) {
      if (key in {} || key in []) throw new Error(`A prototype has got the key '${key}'.`);
    }
  };
  return { clock, time, broker, agent, target, bystander, smuggle, survives };
}

/** The code with which a call was refused; `accepted` when it was not, and the raw error when it is not one of Herald's. */
export async function codeOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return "accepted";
  } catch (error) {
    return isHeraldError(error) ? error.code : error;
  }
}
