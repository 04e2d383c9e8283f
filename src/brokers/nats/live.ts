import type { Envelope } from "../../core/envelope.ts";
import { matchPattern } from "../../core/pattern.ts";
import type { Incoming } from "./client.ts";
import { envelopeFrom } from "./codec.ts";
import { isCoarse } from "./names.ts";
import type { Session } from "./session.ts";

/** Listens to what a pattern covers of the channels that are not stored; resolves when the server knows. */
export async function hearLive(
  session: Session,
  pattern: string,
  heard: (envelope: Envelope) => void,
): Promise<{ unsubscribe(): void }> {
  const { link, names, clock } = session;
  const coarse = isCoarse(pattern);
  const listener = (message: Incoming): void => {
    const channel = names.liveChannel(message.subject);
    if (coarse && !matchPattern(pattern, channel)) return;
    const now = clock.now();
    heard(envelopeFrom(message, { channel, id: `live-${now}`, storedAt: now }));
  };
  const held = await Promise.all(
    names.liveFilters(pattern).map((filter) => link.listen(() => filter, listener)),
  );
  return {
    unsubscribe: () => {
      for (const one of held) one.unsubscribe();
    },
  };
}
