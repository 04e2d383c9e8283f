import { nearest } from "../../core/nearest.ts";
import { BROADCAST_CHANNEL, deadLetterChannel } from "../../core/names.ts";
import { isWildcard, matchPattern } from "../../core/pattern.ts";
import { isCompatible } from "../schema/compatible.ts";
import type { JsonSchema, SchemaLike } from "../schema/model.ts";
import { pathText, type Segment } from "../schema/path.ts";
import { isStandardSchema } from "../schema/standard-schema.ts";
import type { AgentManifest, PublishedChannel, SubscribedChannel } from "./model.ts";
import { placeOf } from "./places.ts";
import type { ManifestIssue } from "./report.ts";

/** Something that only shows when several manifests are looked at together. */
export interface TogetherIssue extends ManifestIssue {
  /** `error`: messages would be refused or lost. `warning`: it works, and is most often a mistake. */
  readonly severity: "error" | "warning";
  readonly agentId: string;
  readonly file: string | undefined;
}

/**
 * Checks manifests against one another. Errors: two agents with one id, a command that two of them answer under that id, and a
 * subscriber whose schema refuses what a publisher's schema allows. Warnings: a subscription to which nobody publishes, and
 * dead letters that are switched on and that nobody reads.
 */
export function checkTogether(manifests: readonly AgentManifest[]): readonly TogetherIssue[] {
  return [
    ...checkAgents(manifests),
    ...manifests.flatMap((manifest) => checkSubscriptions(manifest, manifests)),
    ...manifests.flatMap((manifest) => checkDeadLetters(manifest, manifests)),
  ];
}

interface Finding {
  readonly severity: "error" | "warning";
  readonly segments: readonly Segment[];
  readonly message: string;
  readonly hint: string;
}

function issue(manifest: AgentManifest, { severity, segments, message, hint }: Finding): TogetherIssue {
  const { agentId, file } = manifest;
  return { severity, agentId, file, path: pathText(segments), ...placeOf(manifest, segments), message, hint };
}

function checkAgents(manifests: readonly AgentManifest[]): readonly TogetherIssue[] {
  const first = new Map<string, AgentManifest>();
  const issues: TogetherIssue[] = [];
  for (const manifest of manifests) {
    const other = first.get(manifest.agentId);
    if (other === undefined) {
      first.set(manifest.agentId, manifest);
      continue;
    }
    const message = `is the id of another agent too: ${nameOf(other)} has ${manifest.agentId} already`;
    const hint = "Give each agent an id of its own; to run an agent twice, start one manifest twice.";
    issues.push(issue(manifest, { severity: "error", segments: ["metadata", "name"], message, hint }));
    issues.push(...checkCommands(manifest, other));
  }
  return issues;
}

function checkCommands(manifest: AgentManifest, other: AgentManifest): readonly TogetherIssue[] {
  const taken = new Set(other.messaging.commands.map(({ name }) => name));
  return manifest.messaging.commands.flatMap(({ name }, index) => {
    if (!taken.has(name)) return [];
    const segments = ["spec", "messaging", "commands", index, "name"];
    const message = `is answered twice: ${nameOf(other)} has the command ${name} of ${manifest.agentId} too`;
    return [issue(manifest, { severity: "error", segments, message, hint: "Keep it in one of them." })];
  });
}

interface Publication {
  readonly manifest: AgentManifest;
  readonly published: PublishedChannel;
}

function checkSubscriptions(
  subscriber: AgentManifest,
  manifests: readonly AgentManifest[],
): readonly TogetherIssue[] {
  const publications = manifests.flatMap((manifest) =>
    manifest.messaging.publishes.map((published) => ({ manifest, published })),
  );
  return subscriber.messaging.subscribes.flatMap((subscribed, index) => {
    const segments = ["spec", "messaging", "subscribes", index];
    const met = publications.filter(({ published }) => matchPattern(subscribed.channel, published.channel));
    if (met.length === 0 && !isFedByRuntime(subscribed.channel, manifests)) {
      const finding = { segments: [...segments, "channel"], ...nobodyPublishes(subscribed, publications) };
      return [issue(subscriber, { severity: "warning", ...finding })];
    }
    return met.flatMap((publication) => {
      const finding = incompatibility(publication, subscribed);
      return finding === undefined
        ? []
        : [issue(subscriber, { severity: "error", segments: [...segments, "schema"], ...finding })];
    });
  });
}

/** Dead letters, broadcasts, unicast and commands reach a channel without anybody declaring that they publish to it. */
function isFedByRuntime(pattern: string, manifests: readonly AgentManifest[]): boolean {
  if (manifests.some((manifest) => matchPattern(pattern, deadLettersOf(manifest)))) return true;
  return matchPattern(pattern, BROADCAST_CHANNEL) || /^(?:agent[-.]|reply\.)/.test(pattern);
}

function nobodyPublishes(
  subscribed: SubscribedChannel,
  publications: readonly Publication[],
): Pick<Finding, "message" | "hint"> {
  const { channel } = subscribed;
  const what = isWildcard(channel) ? "covers no channel" : "is no channel";
  const meant = nearest(channel, new Set(publications.map(({ published }) => published.channel)));
  return {
    message: `${what} that one of these agents publishes to`,
    hint:
      meant === undefined
        ? "Declare it under publishes of the agent that sends it."
        : `Did you mean ${meant}?`,
  };
}

function incompatibility(
  { manifest, published }: Publication,
  subscribed: SubscribedChannel,
): Pick<Finding, "message" | "hint"> | undefined {
  const { schema } = subscribed;
  if (!isJsonSchema(published.schema) || !isJsonSchema(schema)) return undefined;
  const { compatible, reasons } = isCompatible(published.schema, schema);
  if (compatible) return undefined;
  const more = reasons.length > 3 ? `; and ${reasons.length - 3} more` : "";
  return {
    message: `refuses what ${nameOf(manifest)} may publish on ${published.channel}: ${reasons.slice(0, 3).join("; ")}${more}`,
    hint: "Narrow the publisher's schema, or widen this one.",
  };
}

function checkDeadLetters(
  manifest: AgentManifest,
  manifests: readonly AgentManifest[],
): readonly TogetherIssue[] {
  const { dlq } = manifest.messaging.reliability;
  const isOn = dlq?.enabled ?? dlq?.channel !== undefined;
  const channel = deadLettersOf(manifest);
  const isRead = manifests.some(({ messaging }) =>
    messaging.subscribes.some((subscribed) => matchPattern(subscribed.channel, channel)),
  );
  if (!isOn || isRead) return [];
  const segments = [
    "spec",
    "messaging",
    "reliability",
    "dlq",
    ...(dlq?.channel === undefined ? [] : ["channel"]),
  ];
  const message = `keeps dead letters on ${channel}, which none of these agents reads`;
  const hint = `Subscribe an agent to ${channel}, or look after it with herald dlq list.`;
  return [issue(manifest, { severity: "warning", segments, message, hint })];
}

function deadLettersOf({ agentId, messaging }: AgentManifest): string {
  return messaging.reliability.dlq?.channel ?? deadLetterChannel(agentId);
}

function isJsonSchema(schema: SchemaLike | undefined): schema is JsonSchema {
  return schema !== undefined && !isStandardSchema(schema);
}

function nameOf({ agentId, file }: AgentManifest): string {
  return file === undefined ? `agent ${agentId}` : `agent ${agentId} (${file})`;
}
