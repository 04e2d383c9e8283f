import type { ServicePort } from "../service-port.ts";
import type { ChildParts } from "./child-parts.ts";
import type { RequesterRole, ResponderRole } from "./spec.ts";

/** Every agent asks for ever, so many at once; it is told when each has had an answer, and then of every one. */
export function playRequester({ channel, inFlight }: RequesterRole, { services, lines }: ChildParts): void {
  const unanswered = new Set(services);
  const ask = async (service: ServicePort) => {
    for (;;) {
      try {
        await service.request(channel, { ask: true });
        unanswered.delete(service);
        if (unanswered.size === 0) lines.add({ type: "answered" });
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    }
  };
  for (const service of services) for (let at = 0; at < inFlight; at++) void ask(service);
}

/** Answers. */
export async function playResponder(role: ResponderRole, { service }: ChildParts): Promise<void> {
  await service.subscribe(role.channel, () => ({ answer: true }), { group: role.agentId });
}
