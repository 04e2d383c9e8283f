import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { HeraldError } from "../core/errors.ts";
import type { Broker } from "../core/broker.ts";
import { checkFunction } from "./check-options.ts";
import { loadManifest } from "./manifest/load-manifest.ts";
import { manifestError } from "./manifest/manifest-error.ts";
import type { AgentManifest } from "./manifest/model.ts";
import type { AnyHandler, MessagingServiceOptions } from "./options.ts";
import { MessagingService } from "./service.ts";

/** Functions by name, for the `handler` and `commands[].name` of a manifest. */
export type Handlers = Readonly<Record<string, AnyHandler>>;

/** What the module beside a manifest may export. Named functions are handlers as well. */
export interface AgentModule {
  /** Makes the handlers for one running agent, so that they can publish, ask and keep state of their own. */
  readonly default?: (agent: MessagingService) => Handlers | Promise<Handlers>;
  /** Runs once every agent has started: an agent's own activity. */
  readonly started?: (agent: MessagingService) => unknown;
}

/** An agent that was loaded and not started. */
export interface LoadedAgent {
  readonly manifest: AgentManifest;
  readonly agent: MessagingService;
  /** Calls the module's `started`, if there is one. */
  readonly started: () => unknown;
}

/** What all loaded agents have in common. */
export type LoadOptions = Omit<
  MessagingServiceOptions,
  "agentId" | "agentName" | "messaging" | "handlers" | "broker"
> & {
  /** One broker for all of them, so that they can talk. */
  readonly broker: Broker;
};

const ENDINGS = [".ts", ".js", ".mjs"];

/**
 * Reads manifests and the handler modules beside them: `scanner.yaml` goes with `scanner.ts`, `.js` or `.mjs`. Rejects with
 * `INVALID_MANIFEST` (its details hold every problem), `NOT_FOUND`, `INVALID_ARGUMENT` for an export that is no function, or
 * what importing a module throws.
 */
export async function loadAgents(
  files: readonly string[],
  options: LoadOptions,
): Promise<readonly LoadedAgent[]> {
  return Promise.all(files.map((file) => loadAgent(file, options)));
}

async function loadAgent(file: string, options: LoadOptions): Promise<LoadedAgent> {
  const report = await loadManifest(file);
  const { manifest } = report;
  if (!report.valid || manifest === undefined) throw manifestError(report);
  const module = await importBeside(file, manifest);
  const handlers: Record<string, AnyHandler> = {};
  const { agentId, agentName, messaging } = manifest;
  const agent = new MessagingService({
    ...options,
    agentId,
    ...(agentName === undefined ? {} : { agentName }),
    messaging,
    handlers,
  });
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === "function" && name !== "default" && name !== "started")
      handlers[name] = value as AnyHandler;
  }
  if (module.default !== undefined) Object.assign(handlers, await module.default(agent));
  return { manifest, agent, started: () => module.started?.(agent) };
}

async function importBeside(file: string, manifest: AgentManifest): Promise<AgentModule> {
  const base = path.resolve(file).replace(/\.(ya?ml|json)$/i, "");
  const found = ENDINGS.map((ending) => base + ending).find((candidate) => existsSync(candidate));
  if (found !== undefined) return checked(await import(pathToFileURL(found).href), found);
  const { subscribes, commands } = manifest.messaging;
  const wanted = [...subscribes.flatMap(({ handler }) => handler ?? []), ...commands.map(({ name }) => name)];
  if (wanted.length === 0) return {};
  throw new HeraldError(
    "NOT_FOUND",
    `The manifest '${file}' names the handlers ${wanted.join(", ")}, and there is no module beside it: make ${path.basename(base)}.js and export them.`,
    {
      details: { file },
    },
  );
}

function checked(module: unknown, file: string): AgentModule {
  const { default: make, started } = module as Readonly<Record<string, unknown>>;
  if (make !== undefined) checkFunction(`${file}: the default export`, make);
  if (started !== undefined) checkFunction(`${file}: the export 'started'`, started);
  return module as AgentModule;
}
