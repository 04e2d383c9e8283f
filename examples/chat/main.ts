import { parseArgs } from "node:util";
import type { Message } from "../../src/index.ts";
import { TOKENS } from "./agents.ts";
import { diagram } from "./diagram.ts";
import { modelFrom } from "./model.ts";
import { runChat } from "./run.ts";
import { scriptedModel } from "./scripted-model.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    diagram: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    stubborn: { type: "boolean", default: false },
    hops: { type: "string", default: "12" },
    tokens: { type: "string", default: "10000" },
  },
});
const seen: Message[] = [];
const isQuiet = flags.json || flags.diagram;
const outcome = await runChat({
  question: positionals.join(" ") || "Why do otters hold hands?",
  model: flags.stubborn ? scriptedModel({ isStubborn: true }) : modelFrom(process.env),
  maxHops: Number(flags.hops),
  maxTokens: Number(flags.tokens),
  onMessage: (message) => {
    seen.push(message);
    if (!isQuiet) say(line(message));
  },
});
if (flags.json) say(JSON.stringify(outcome));
else if (flags.diagram) say(diagram(seen));
else {
  const total = Object.values(outcome.tokens).reduce((sum, count) => sum + count, 0);
  say(`${outcome.messages} messages, ${total} tokens, tried again: ${outcome.retried}`);
  say(outcome.answer === null ? `Stopped. ${outcome.stopped}` : `Answer: ${outcome.answer.text}`);
}
process.exitCode = outcome.answer === null ? 1 : 0;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function line({ source, channel, payload, metadata }: Message): string {
  const { question, topic, text, remarks } = payload as Readonly<Record<string, string | undefined>>;
  const words = (remarks ?? text ?? topic ?? question ?? "").replaceAll("\n", " / ");
  const tokens = metadata.headers?.[TOKENS];
  return `${source.padEnd(12)} → ${channel.padEnd(14)} ${words}${tokens === undefined ? "" : ` (${tokens} tokens)`}`;
}
