import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { loadAgents, type LoadedAgent } from "./load-agents.ts";

/** Agents of files in a folder of their own; they and the folder end with the test. */
async function loaded(
  files: Readonly<Record<string, string>>,
  names?: readonly string[],
): Promise<readonly LoadedAgent[]> {
  const folder = mkdtempSync(path.join(tmpdir(), "herald-agents-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  const manifests = names ?? Object.keys(files).filter((name) => /\.(ya?ml|json)$/i.test(name));
  const agents = await loadAgents(
    manifests.map((name) => path.join(folder, name)),
    { broker: new MemoryBroker() },
  );
  onTestFinished(async () => void (await Promise.all(agents.map(({ agent }) => agent.stop()))));
  return agents;
}

/** A manifest of an agent with this messaging part, as lines of YAML. */
function manifest(name: string, ...messaging: readonly string[]): string {
  const lines = [
    "apiVersion: ossa/v0.3.1",
    "kind: Agent",
    "metadata:",
    `  name: ${name}`,
    `  displayName: The ${name}`,
  ];
  return [...lines, "spec:", "  messaging:", ...messaging.map((line) => `    ${line}`)].join("\n");
}

const ECHO = manifest(
  "echo",
  "subscribes:",
  "  - channel: questions.asked",
  "    handler: onQuestion",
  "commands:",
  "  - name: shout",
  "    inputSchema: { type: string }",
);

async function startAll(agents: readonly LoadedAgent[]): Promise<void> {
  for (const { agent } of agents) await agent.start();
}

describe("the module beside a manifest", () => {
  it.each([".mjs", ".js", ".ts"])("ending in %s gives the handlers by its named exports", async (ending) => {
    const module = [
      "export const onQuestion = (message) => `heard ${message.payload}`;",
      "export const shout = (text) => text.toUpperCase();",
      "export const settings = { unused: true };",
    ];
    const agents = await loaded(
      { "echo.yaml": ECHO, [`echo${ending}`]: module.join("\n"), "package.json": '{"type":"module"}' },
      ["echo.yaml"],
    );
    await startAll(agents);
    const [echo] = agents;

    expect(echo?.manifest).toMatchObject({ agentId: "echo", agentName: "The echo" });
    expect([echo?.agent.agentId, echo?.agent.agentName]).toEqual(["echo", "The echo"]);
    await expect(echo?.agent.request("questions.asked", 7)).resolves.toBe("heard 7");
    await expect(echo?.agent.sendCommand("echo", "shout", "hey")).resolves.toBe("HEY");
  });

  it("makes handlers for one agent by its default export, which win over named ones", async () => {
    const module = [
      "export default async (agent) => ({ onQuestion: ({ payload }) => `${agent.agentId} made ${payload}` });",
      "export const onQuestion = () => 'named';",
      "export function shout(text) { return text; }",
    ];
    const agents = await loaded({ "echo.yml": ECHO, "echo.mjs": module.join("\n") });
    await startAll(agents);

    await expect(agents[0]?.agent.request("questions.asked", 7)).resolves.toBe("echo made 7");
    await expect(agents[0]?.agent.sendCommand("echo", "shout", "x")).resolves.toBe("x");
  });

  it("has its say once all agents run, by `started`, which is no handler", async () => {
    const agents = await loaded({
      "echo.yaml": ECHO,
      "echo.mjs": "export const onQuestion = ({ payload }) => payload + 1;\nexport const shout = String;",
      "starter.json": JSON.stringify({
        apiVersion: "ossa/v0.3.1",
        kind: "Agent",
        metadata: { name: "starter" },
        spec: { messaging: { publishes: [{ channel: "questions.asked" }] } },
      }),
      "starter.mjs": "export const started = (agent) => agent.request('questions.asked', 41);",
    });
    await startAll(agents);

    expect(agents.map(({ manifest: { agentId } }) => agentId)).toEqual(["echo", "starter"]);
    expect(agents[0]?.started()).toBeUndefined();
    await expect(agents[1]?.started()).resolves.toBe(42);
  });

  it("lends its `started` to no subscription", async () => {
    const greedy = manifest("greedy", "subscribes:", "  - channel: questions.asked", "    handler: started");
    const [agent] = await loaded({ "greedy.yaml": greedy, "greedy.mjs": "export const started = () => {};" });

    await expect(agent?.agent.start()).rejects.toMatchObject({
      code: "INVALID_MANIFEST",
      details: { handler: "started" },
    });
  });

  it("is not needed where the manifest names no handler", async () => {
    const agents = await loaded({
      "quiet.yaml": manifest("quiet", "publishes:", "  - channel: notes.taken"),
    });
    await startAll(agents);

    expect(agents[0]?.agent.isRunning).toBe(true);
    expect(agents[0]?.started()).toBeUndefined();
  });

  it("that is missing is NOT_FOUND, naming the handlers and the file to make", async () => {
    await expect(loaded({ "echo.yaml": ECHO })).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringMatching(
        /names the handlers onQuestion, shout, and there is no module beside it: make echo\.js and export them\.$/,
      ) as string,
      details: { file: expect.stringMatching(/echo\.yaml$/) as string },
    });
  });

  it("that lacks a function lets the agent be loaded, and its start rejects naming what there is", async () => {
    const [echo] = await loaded({ "echo.yaml": ECHO, "echo.mjs": "export const onQuestion = () => 1;" });

    await expect(echo?.agent.start()).rejects.toMatchObject({
      code: "INVALID_MANIFEST",
      message:
        "There is no function 'shout' for the command 'shout' of agent 'echo': give or export one of that name; there are: onQuestion.",
    });
  });

  it.each([
    ["the default export", "export default { onQuestion() {} };"],
    ["the default export", "export default 7;"],
    ["the export 'started'", "export const started = true;"],
  ])("is refused where %s is no function: %s", async (what, text) => {
    const error: unknown = await loaded({ "echo.yaml": ECHO, "echo.mjs": text }).catch(
      (thrown: unknown) => thrown,
    );

    expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect((error as Error).message).toContain(`echo.mjs: ${what} must be a function`);
  });

  it("that cannot be imported rejects with what importing throws", async () => {
    await expect(
      loaded({ "echo.yaml": ECHO, "echo.mjs": "throw new Error('broken module');" }),
    ).rejects.toThrow("broken module");
  });
});

describe("a manifest that is invalid", () => {
  it("is INVALID_MANIFEST with every problem, whatever stands beside it", async () => {
    const broken = manifest("echo", "subscribes:", "  - channel: not a channel", "  - handler: onQuestion");

    await expect(
      loaded({ "echo.yaml": broken, "echo.mjs": "export const onQuestion = () => 1;" }),
    ).rejects.toMatchObject({
      code: "INVALID_MANIFEST",
      details: {
        issues: [{ path: "spec.messaging.subscribes[0].channel" }, { path: "spec.messaging.subscribes[1]" }],
      },
    });
  });

  it("or is not there, loads none of the agents", async () => {
    await expect(
      loaded({ "echo.yaml": ECHO, "echo.mjs": "" }, ["echo.yaml", "missing.yaml"]),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/^(NOT_FOUND|INVALID_MANIFEST)$/) as string,
    });
  });
});
