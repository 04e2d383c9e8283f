import { isoTime } from "../core/clock.ts";
import type { InProcessAgents } from "./agents.ts";
import type { Output } from "./output.ts";
import { table, type Column } from "./table.ts";
import { count, jsonText, printable, wrap } from "./text.ts";

/** One dead letter, as the service lists it. */
export type DeadLetter = Awaited<ReturnType<InProcessAgents["operator"]["deadLetters"]["list"]>>[number];

/** How many of them people are shown who did not ask for them. */
const SHOWN = 20;

/** A dead letter as one line of JSON; `detailed` adds the failures, headers, the message and its bytes. */
export function deadLetterJson(entry: DeadLetter, detailed = false): object {
  const brief = {
    type: "dead-letter",
    id: entry.id,
    channel: entry.channel,
    group: entry.group,
    agentId: entry.agentId,
    code: entry.code,
    reason: entry.reason,
    attempts: entry.attempts,
    redriven: entry.redriven,
    firstFailedAt: isoTime(entry.firstFailedAt),
    lastFailedAt: isoTime(entry.lastFailedAt),
    deadLetterChannel: entry.deadLetterChannel,
    position: entry.position,
  };
  if (!detailed) return brief;
  const failures = entry.failures.map((failure) => ({ ...failure, at: isoTime(failure.at) }));
  return {
    ...brief,
    failures,
    headers: entry.headers,
    message: entry.message ?? null,
    bodyBase64: Buffer.from(entry.body).toString("base64"),
  };
}

/** Dead letters as a table that fits the width. */
export function deadLetterTable(entries: readonly DeadLetter[], output: Output): string[] {
  const columns: Column<DeadLetter>[] = [
    { title: "CHANNEL", value: ({ channel }) => channel, min: 14 },
    { title: "CODE", value: ({ code }) => code, paint: (cell) => output.paint("bad", cell) },
    { title: "REASON", value: ({ reason }) => reason, min: 24 },
    { title: "TRIES", value: ({ attempts }) => attempts, optional: true },
    // Half an id is of no use: it is shown whole or not at all.
    { title: "ID", value: ({ id }) => id, optional: true },
    { title: "AGENT", value: ({ agentId }) => agentId, optional: true },
    { title: "LAST", value: ({ lastFailedAt }) => `${isoTime(lastFailedAt).slice(11, 19)}Z`, optional: true },
  ];
  return table(columns, entries, output.width);
}

/** One dead letter in full, for people: long texts are wrapped, nothing is cut. */
export function deadLetterPage(entry: DeadLetter, { width }: Output): string[] {
  const field: Field = (name, value) => wrap(printable(value), width, name.padEnd(10), " ".repeat(10));
  const before = entry.redriven > 0 ? `, sent back ${count(entry.redriven, "time")} before` : "";
  return [
    ...field("id", entry.id),
    ...field(
      "channel",
      `${entry.channel} (group ${entry.group ?? "none: a broadcast"}, agent ${entry.agentId})`,
    ),
    ...field("kept on", `${entry.deadLetterChannel} at ${entry.position}`),
    ...field("code", entry.code),
    ...field("attempts", `${entry.attempts}${before}`),
    ...entry.failures.flatMap(({ at, attempt, code, message }) => [
      ...wrap(`${isoTime(at)} attempt ${attempt} ${printable(code)}`, width, "  ", "    "),
      ...wrap(printable(message), width, "    "),
    ]),
    ...Object.entries(entry.headers).flatMap(([name, value]) => field("header", `${name}: ${value}`)),
    ...payloadLines(entry, field),
  ];
}

/** Prints what is among the dead letters after agents have run: all for programs, the first of them for people. */
export async function printDeadLetters({ operator }: InProcessAgents, output: Output): Promise<void> {
  const entries = await operator.deadLetters.list({ limit: output.options.json ? Infinity : SHOWN });
  if (output.options.json) {
    for (const entry of entries) output.json(deadLetterJson(entry));
    return;
  }
  if (entries.length === 0) return;
  const { total } = await operator.deadLetters.stats();
  output.line("");
  output.line(output.paint("bad", `${count(total, "dead letter")}:`));
  output.lines(deadLetterTable(entries, output));
  if (total > entries.length) output.line(`and ${total - entries.length} more`);
}

type Field = (name: string, value: string) => string[];

function payloadLines({ message, body }: DeadLetter, field: Field): string[] {
  const size = count(body.byteLength, "byte");
  if (message === undefined) return field("payload", `${size} that cannot be decoded`);
  if (message.payload instanceof Uint8Array)
    return field("payload", `${size} of ${message.metadata.contentType}`);
  return [
    "payload",
    ...jsonText(message.payload, 2)
      .split("\n")
      .map((line) => `  ${line}`),
  ];
}
