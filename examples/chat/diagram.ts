import type { Message } from "../../src/index.ts";

/** A conversation as a Mermaid sequence diagram: every message goes from whoever published it to whoever it made say something. */
export function diagram(messages: readonly Message[]): string {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const arrows = new Map<string, string>();
  for (const { source, metadata } of messages) {
    const cause = byId.get(metadata.causationId ?? "");
    if (cause !== undefined)
      arrows.set(`${cause.id} ${source}`, `  ${cause.source}->>${source}: ${cause.channel}`);
  }
  const last = messages.at(-1);
  if (last !== undefined) arrows.set(last.id, `  ${last.source}->>person: ${last.channel}`);
  return ["sequenceDiagram", ...arrows.values()].join("\n");
}
