import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { withAgents } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald publish", () => {
  it("publishes, lets the agents settle and counts what came of it", async () => {
    const { exit, stdout, stderr } = await call([
      "publish",
      "orders.created",
      '{"id":1}',
      ...withAgents("packer"),
    ]);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^CHANNEL +PUBLISHED +HANDLED/);
    expect(stdout).toMatch(/orders\.created +1 +1 +0/);
    expect(stdout).toMatch(/orders\.packed +1 +0 +0/);
    expect(stdout).toMatch(/2 published, 1 handled in \d+ ms\n$/);
    expect(stderr).toMatch(/^Published [0-9a-f-]{36} to 'orders\.created'\.\n$/);
  });

  it("prints a line for each message, each channel, the sums and each dead letter for programs", async () => {
    const { stdout } = await call([
      "publish",
      "--json",
      "orders.created",
      '{"id":1,"item":"bomb"}',
      "--id",
      "b-1",
      ...withAgents("packer"),
    ]);
    expect(jsonLines(stdout)).toEqual([
      { type: "published", id: "b-1", channel: "orders.created" },
      expect.objectContaining({ type: "channel", channel: "dlq.packer", published: 1 }),
      expect.objectContaining({
        type: "channel",
        channel: "orders.created",
        published: 1,
        handled: 0,
        failed: 2,
        retried: 1,
        deadLettered: 1,
      }),
      expect.objectContaining({
        type: "summary",
        published: 2,
        handled: 0,
        deadLettered: 1,
        elapsedMs: expect.any(Number),
      }),
      expect.objectContaining({
        type: "dead-letter",
        id: "b-1",
        channel: "orders.created",
        code: "HANDLER_FAILED",
        attempts: 2,
        agentId: "packer",
      }),
    ]);
  });

  it("shows dead letters to people, with what steers a terminal escaped", async () => {
    const { stdout, exit } = await call([
      "publish",
      "orders.created",
      '{"id":1,"item":"bomb"}',
      ...withAgents("packer"),
    ]);
    expect(stdout).toContain("1 dead letter:\nCHANNEL");
    expect(stdout).not.toContain("\u001b");
    expect(exit).toBe(0);
  });

  it("holds the data to the manifests' schema before anything is sent", async () => {
    const { exit, stdout, stderr } = await call([
      "publish",
      "orders.created",
      '{"id":"x"}',
      ...withAgents("packer"),
    ]);
    expect([exit, stdout]).toEqual([65, ""]);
    expect(stderr).toMatch(/^error: .*id must be integer\.\n {2}why: .+\n {2}fix: .+\n$/);
  });

  it("sends what breaks the schema when told to, and the receiver gives up on it", async () => {
    const { stdout, exit } = await call([
      "publish",
      "--json",
      "orders.created",
      '{"id":"x"}',
      "--no-validate",
      ...withAgents("packer"),
    ]);
    expect(jsonLines(stdout).at(-1)).toMatchObject({
      type: "dead-letter",
      code: "SCHEMA_VIOLATION",
      attempts: 1,
    });
    expect(exit).toBe(0);
  });

  it("publishes every line of stdin, tells of those that fail and ends with 2", async () => {
    const stdin = '{"id":1}\n{"id":"x"}\n\nnonsense\n{"id":2}\n';
    const { exit, stdout, stderr } = await call(
      ["publish", "--json", "orders.created", "-", ...withAgents("packer")],
      { stdin },
    );
    expect(exit).toBe(2);
    expect(jsonLines(stdout).filter(({ type }) => type === "published")).toHaveLength(2);
    expect(jsonLines(stderr)).toEqual([
      {
        error: expect.objectContaining({
          code: "SCHEMA_VIOLATION",
          exit: 65,
          message: expect.stringMatching(/^Line 2: /),
        }),
      },
      {
        error: expect.objectContaining({
          code: "MALFORMED",
          exit: 65,
          message: expect.stringMatching(/^Line 4: /),
        }),
      },
    ]);
  });

  it("ends with the first error's code when every line fails, and with 0 when there is none", async () => {
    const args = ["publish", "orders.created", "-", ...withAgents("packer")];
    expect((await call(args, { stdin: "x\ny\n" })).exit).toBe(65);
    expect(await call(args, { stdin: "" })).toMatchObject({
      exit: 0,
      stdout: expect.stringContaining("0 published"),
    });
  });

  it("says that nobody listens and which channel was probably meant", async () => {
    const { exit, stderr } = await call(["publish", "orders.creatd", "{}", ...withAgents("packer")]);
    expect(stderr).toContain("No agent listens on 'orders.creatd'. Did you mean 'orders.created'?");
    expect(exit).toBe(0);
  });

  it("takes what the options say of the message", async () => {
    const args = [
      "publish",
      "-q",
      "orders.created",
      '{"id":1,"item":"bomb"}',
      "--type",
      "sale",
      "--key",
      "k",
      "--id",
      "own-id",
    ];
    const more = [
      "--priority",
      "high",
      "--ttl",
      "1m",
      "--delay",
      "1ms",
      "--to",
      "packer",
      "-H",
      "a:1",
      "-H",
      "b: x:y",
      "--json",
    ];
    const { exit, stdout } = await call([...args, ...more, ...withAgents("packer")]);
    expect([exit, jsonLines(stdout).at(-1)]).toEqual([
      0,
      expect.objectContaining({ type: "dead-letter", id: "own-id" }),
    ]);
  });

  it("ends with 75 when the agents do not settle in time", async () => {
    const { exit, stderr } = await call([
      "publish",
      "work.todo",
      '{"ms":300}',
      "--settle",
      "20ms",
      ...withAgents("slow"),
    ]);
    expect(stderr).toContain("The agents have not settled within 20 ms");
    expect(exit).toBe(75);
  });

  it.each([
    ["a channel that is none", ["bad channel", "{}"], 64, "is not a channel name"],
    ["a reserved channel", ["dlq.x", "{}"], 77, "is reserved"],
    ["data that is no JSON", ["a", "{id:1}"], 65, "The data is not JSON"],
    ["a file that is not there", ["a", "@/nowhere.json"], 66, "cannot be read (ENOENT)"],
    ["a poisonous key", ["a", '{"__proto__":1}'], 65, "__proto__"],
    ["a priority that is none", ["a", "{}", "--priority", "100"], 64, "'100' is not a priority."],
    ["a header without a value", ["a", "{}", "-H", "x"], 64, "'x' is not a header."],
    ["an id that is none", ["a", "{}", "--id", "a b"], 64, "id must be"],
  ])("refuses %s", async (_what, args, expected, message) => {
    const { exit, stdout, stderr } = await call(["publish", ...args, ...withAgents("packer")]);
    expect([exit, stdout]).toEqual([expected, ""]);
    expect(stderr).toContain(message);
  });
});
