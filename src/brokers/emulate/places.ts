import type { Broker } from "../../core/broker.ts";
import { isHeraldError } from "../../core/errors.ts";
import type { Reader } from "./roll.ts";

/** Gives a group a place on a channel, or a pattern, that it does not read yet: what is published from now on waits for it. */
export async function makePlace(broker: Broker, pattern: string, reader: Reader): Promise<void> {
  const { group, ordering } = reader;
  try {
    const subscription = await broker.subscribe({ pattern, group, ordering, prefetch: 1, from: "new" });
    await subscription.close();
  } catch (error) {
    // It reads it already, in another order: it has its place.
    if (!isHeraldError(error) || error.code !== "CONFLICT") throw error;
  }
}
