import type { ChildParts } from "./child-parts.ts";
import type { RequesterRole, ResponderRole } from "./spec.ts";

/** Asks for ever, so many at once. */
export function playRequester({ channel, inFlight }: RequesterRole, { service, lines }: ChildParts): void {
  const ask = async () => {
    for (;;) {
      try {
        await service.request(channel, { ask: true });
        lines.add({ type: "answered" });
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    }
  };
  for (let at = 0; at < inFlight; at++) void ask();
}

/** Answers. */
export async function playResponder(role: ResponderRole, { service }: ChildParts): Promise<void> {
  await service.subscribe(role.channel, () => ({ answer: true }), { group: role.agentId });
}
