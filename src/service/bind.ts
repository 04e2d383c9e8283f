import { HeraldError } from "../core/errors.ts";
import type { Handler } from "../core/middleware.ts";
import type { CommandHandler } from "./commands.ts";
import type { SubscribedChannel } from "./manifest/model.ts";
import type { AnyHandler, SubscribeOptions } from "./options.ts";
import type { Settings } from "./settings.ts";

/** What binding does to a service. */
export interface Binder {
  /** Subscribes what one entry of the manifest declares, with that entry's own filter, schema and concurrency. */
  readonly subscribe: (declared: SubscribedChannel, handler: Handler) => Promise<unknown>;
  readonly registerCommandHandler: (name: string, handler: CommandHandler) => Promise<unknown>;
}

/**
 * Binds the functions given as `handlers` to the subscriptions and commands that the manifest names. Without `handlers`
 * nothing is bound: the program subscribes by itself. `INVALID_MANIFEST` when a name has no function.
 */
export async function bindManifest(settings: Settings, binder: Binder): Promise<void> {
  const { handlers, messaging, agentId } = settings;
  if (handlers === undefined) return;
  for (const declared of messaging.subscribes) {
    const { channel, handler: name } = declared;
    if (name === undefined) continue;
    await binder.subscribe(
      declared,
      functionOf(handlers, name, `the subscription to '${channel}' of agent '${agentId}'`),
    );
  }
  for (const { name } of messaging.commands) {
    await binder.registerCommandHandler(
      name,
      functionOf(handlers, name, `the command '${name}' of agent '${agentId}'`),
    );
  }
}

/** What an entry of the manifest says of its subscription. */
export function declaredOptions(declared: SubscribedChannel | undefined): SubscribeOptions {
  const { schema, filter, maxConcurrency } = declared ?? {};
  return {
    ...(schema === undefined ? {} : { schema }),
    ...(filter === undefined ? {} : { filter }),
    ...(maxConcurrency === undefined ? {} : { maxConcurrency }),
  };
}

function functionOf(
  handlers: Readonly<Record<string, AnyHandler>>,
  name: string,
  wanted: string,
): AnyHandler {
  const found = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
  if (typeof found === "function") return found;
  const known = Object.keys(handlers).toSorted().join(", ") || "none";
  throw new HeraldError(
    "INVALID_MANIFEST",
    `There is no function '${name}' for ${wanted}: give or export one of that name; there are: ${known}.`,
    {
      details: { handler: name },
    },
  );
}
