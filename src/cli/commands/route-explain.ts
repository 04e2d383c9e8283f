import { HeraldError, showValue } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import { checkAgentId } from "../../core/names.ts";
import { checkChannel } from "../../core/pattern.ts";
import { priorityLevel, type Priority } from "../../core/priority.ts";
import type { Explanation, ExplainedCopy } from "../../service/routes/routing.ts";
import { eachDatum, openInputs } from "../each-datum.ts";
import type { Output } from "../output.ts";
import { routingOf } from "../routing.ts";
import type { Session } from "../session.ts";
import { table, type Column } from "../table.ts";
import { cut, jsonText, printable, wrap } from "../text.ts";

/** What `herald route explain` was given. */
export interface RouteExplainCommand {
  readonly message: string;
  /** Routing files. */
  readonly routing: readonly string[];
}

/** Says of messages what every routing rule makes of them and why, and what would be sent. Nothing is sent. */
export async function routeExplain(command: RouteExplainCommand, session: Session): Promise<number> {
  const routing = await routingOf(command.routing);
  const inputs = await openInputs(command.message, session);
  const { exit } = await eachDatum(inputs, session, async (value) => {
    const message = messageOf(value);
    print(message, await routing.explain(message), session.output);
  });
  return exit;
}

const KEYS = ["id", "timestamp", "source", "channel", "payload", "metadata"];
const NOW = "1970-01-01T00:00:00.000Z";

/** A message with what it does not say filled in. Throws `INVALID_ARGUMENT`, `INVALID_CHANNEL`. */
function messageOf(value: unknown): Message {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(`must be an object with channel, source and payload, not ${showValue(value)}`);
  const given = value as Partial<Record<keyof Message, unknown>>;
  const unknown = Object.keys(given).find((key) => !KEYS.includes(key));
  if (unknown !== undefined)
    throw wrong(`has ${showValue(unknown)}, and only ${KEYS.join(", ")} are keys of one`);
  const { id = "explained", timestamp = NOW, source, channel, payload = {}, metadata = {} } = given;
  if (typeof id !== "string" || typeof timestamp !== "string")
    throw wrong("has an id or a timestamp that is not text");
  if (source === undefined) throw wrong("has no source: name the agent that publishes it");
  checkAgentId(source);
  checkChannel(channel);
  if (typeof metadata !== "object" || metadata === null) throw wrong("has metadata that are no object");
  const { priority } = metadata as { readonly priority?: Priority };
  return {
    id,
    timestamp,
    source,
    channel,
    payload,
    metadata: {
      retryCount: 0,
      contentType: "application/json",
      ...metadata,
      priority: priorityLevel(priority ?? "normal"),
    },
  };
}

function wrong(problem: string): HeraldError {
  const hint = `Write it like '{"channel":"orders.created","source":"shop","payload":{"id":1}}'.`;
  return new HeraldError("INVALID_ARGUMENT", `The message ${problem}.`, {
    details: { field: "message", hint },
  });
}

interface Row {
  readonly rule: string;
  readonly verdict: string;
  readonly because: string;
}

function print(message: Message, explanation: Explanation, output: Output): void {
  if (output.options.json) {
    for (const line of jsonLines(message, explanation)) output.json(line);
    return;
  }
  const rows = explanation.verdicts.map(({ rule, applied, because }): Row => {
    return { rule: rule.id, verdict: applied ? "applies" : "no", because };
  });
  const columns: Column<Row>[] = [
    { title: "RULE", value: (row) => row.rule, min: 12 },
    {
      title: "VERDICT",
      value: (row) => row.verdict,
      paint: (cell, row) => output.paint(row.verdict === "no" ? "faint" : "good", cell),
    },
    { title: "BECAUSE", value: (row) => row.because, min: 20 },
  ];
  if (rows.length > 0) output.lines(table(columns, rows, output.width));
  output.sentence(`The message goes to its own channel, ${message.channel}, as without rules.`);
  for (const copy of explanation.copies) output.lines(copyLines(copy, output));
  const said = otherwise(explanation);
  if (said !== undefined) output.sentence(said);
}

function copyLines({ target, channel, rule, result }: ExplainedCopy, output: Output): string[] {
  const by = rule === undefined ? "the default route" : `rule ${rule.id}`;
  const made = rule?.transform === undefined ? "" : `, made by transform ${rule.transform}`;
  const head = `A copy goes to ${target ?? "every agent"} on ${channel} by ${by}${made}:`;
  const lines = wrap(printable(head), output.width);
  if (result.ok) return [...lines, `  ${cut(jsonText(result.payload), output.width - 2)}`];
  return [
    ...lines,
    ...wrap(
      printable(`${result.error.code}: ${result.error.message} It goes to the dead letters.`),
      output.width,
      "  ",
    ),
  ];
}

function otherwise({ verdicts, otherwise: route }: Explanation): string | undefined {
  if (route === undefined)
    return verdicts.some(({ applied }) => applied)
      ? undefined
      : "No rule takes it, and the default route does not either.";
  if (route.action === "drop") return "No rule takes it; the default route is drop: nothing more is sent.";
  if (route.action === "dlq")
    return "No rule takes it; the default route is dlq: it also goes to the dead letters of its agent.";
  return "No rule takes it; the default route is broadcast.";
}

function jsonLines({ id }: Message, { verdicts, copies, otherwise: route }: Explanation): object[] {
  return [
    ...verdicts.map(({ rule, applied, because, targets }) => {
      const { id: name, document, priority } = rule;
      return { type: "rule", id, rule: name, document, priority, applied, because, targets };
    }),
    ...copies.map(({ target, channel, rule, result }) => {
      const outcome = result.ok
        ? { payload: result.payload, failure: null }
        : { payload: null, failure: { code: result.error.code, message: result.error.message } };
      return {
        type: "copy",
        id,
        target,
        channel,
        rule: rule?.id ?? null,
        transform: rule?.transform ?? null,
        ...outcome,
      };
    }),
    { type: "route", id, copies: copies.length, default: route?.action ?? null },
  ];
}
