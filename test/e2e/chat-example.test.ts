import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { json } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import type { Outcome } from "../../examples/chat/run.ts";
import { run, type Ran } from "../support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const chat = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  run(process.execPath, [path.join(ROOT, "examples/chat/main.ts"), ...args], {
    cwd: ROOT,
    env: { CHAT_MODEL: "", ...env },
  });
const outcome = ({ stdout }: Ran): Outcome => JSON.parse(stdout) as Outcome;

interface Completion {
  readonly model: string;
  readonly messages: readonly { readonly content: string }[];
}

/** A model behind HTTP, as the protocol has it: the first call is one too many. */
async function modelServer(): Promise<{ url: string; asked: Completion[]; keys: Set<string | undefined> }> {
  const asked: Completion[] = [];
  const keys = new Set<string | undefined>();
  const server = createServer((request: IncomingMessage, response) => {
    void json(request).then((body) => {
      keys.add(request.headers.authorization);
      asked.push(body as Completion);
      if (request.url !== "/v1/chat/completions" || asked.length === 1)
        return response.writeHead(429).end("slow down");
      const [{ content: task } = { content: "" }] = (body as Completion).messages;
      const content = task.startsWith("Name")
        ? "one\n\ntwo"
        : task.startsWith("Is this")
          ? "APPROVED"
          : "It is so.";
      const usage = { total_tokens: 10 };
      return response.end(JSON.stringify({ choices: [{ message: { content } }], usage }));
    });
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://:secret@127.0.0.1:${port}/v1?model=small`, asked, keys };
}

describe("the chat example", () => {
  it("comes to an answer in two drafts, past a model that fails once", async () => {
    const ran = await chat(["--json"]);

    expect(ran).toMatchObject({ code: 0, stderr: "" });
    const { tokens, ...rest } = outcome(ran);
    expect(rest).toEqual({
      answer: {
        question: "Why do otters hold hands?",
        text: "Otters, in 5 lines, with sources.",
        revision: 2,
      },
      stopped: null,
      messages: 11,
      retried: 1,
    });
    expect(tokens).toMatchObject({ planner: 37, writer: 139, reviewer: 75 });
    // Which researcher took what is chance; what it took is not.
    const researched = Object.entries(tokens).filter(([name]) => name.startsWith("researcher"));
    expect(researched.reduce((sum, [, count]) => sum + count, 0)).toBe(85);
  });

  it("is drawn from what caused what", async () => {
    const { stdout } = await chat(["--diagram"]);

    const drawn = stdout
      .trimEnd()
      .replaceAll(/researcher-\d/g, "researcher")
      .split("\n");
    expect(drawn).toEqual([
      "sequenceDiagram",
      "  person->>planner: chat.questions",
      ...Array.from({ length: 3 }, () => "  planner->>researcher: chat.tasks"),
      "  researcher->>writer: chat.notes",
      "  writer->>reviewer: chat.drafts",
      "  reviewer->>writer: chat.reviews",
      "  writer->>reviewer: chat.drafts",
      "  reviewer->>person: chat.answers",
    ]);
  });

  it("is stopped by the hop limit when the reviewer is never content", async () => {
    const ran = await chat(["--json", "--stubborn", "--hops", "8"]);

    expect(ran.code).toBe(1);
    expect(outcome(ran)).toMatchObject({ answer: null, messages: 13 });
    expect(outcome(ran).stopped).toMatch(/^HOP_LIMIT: This message would be hop 9 /);
  });

  it("is stopped when it has cost more tokens than its budget", async () => {
    const ran = await chat(["--json", "--tokens", "300"]);

    // 336 would have done: the last review is paid for and not published.
    expect(ran.code).toBe(1);
    expect(outcome(ran)).toMatchObject({ answer: null, messages: 10 });
    expect(outcome(ran).stopped).toMatch(/^BUDGET_EXCEEDED: .* over its budget: tokens 336 of 300\./);
  });

  it("asks the model that one variable names, with its key, and again when that is overloaded", async () => {
    const server = await modelServer();

    const ran = await chat(["--json", "Is it so?"], { CHAT_MODEL: server.url });

    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(outcome(ran)).toMatchObject({
      answer: { question: "Is it so?", text: "It is so.", revision: 1 },
      retried: 1,
      tokens: { planner: 10, writer: 10, reviewer: 10 },
    });
    expect([...server.keys]).toEqual(["Bearer secret"]);
    expect(server.asked).toHaveLength(6);
    expect(new Set(server.asked.map(({ model }) => model))).toEqual(new Set(["small"]));
  });
});
