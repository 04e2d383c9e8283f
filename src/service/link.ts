import type { Broker } from "../core/broker.ts";
import type { Link } from "../patterns/messaging.ts";
import { withMethods } from "./check-options.ts";
import { MessagingService } from "./service.ts";

/** What a pattern stands on: the program's service, or one of its own over a bare broker. Throws `INVALID_ARGUMENT`. */
export function linkTo(
  over: MessagingService | Broker,
  name: string,
): Link & { readonly messaging: MessagingService } {
  if (over instanceof MessagingService) return { messaging: over, isOwn: false };
  const broker = withMethods("broker", over, ["open", "publish", "subscribe", "inspect", "close"]);
  // An agent's id is one token; what a queue is called may be several.
  return {
    messaging: new MessagingService({
      agentId: name.replaceAll(/[^A-Za-z0-9_:-]/g, "-").slice(0, 100),
      broker,
    }),
    isOwn: true,
  };
}
