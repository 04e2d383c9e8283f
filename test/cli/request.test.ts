import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { withAgents } from "./support/fixtures.ts";
import { call, jsonLines } from "./support/in-process.ts";

beforeEach(() => vi.stubEnv("COLUMNS", "80"));
afterEach(() => vi.unstubAllEnvs());

describe("herald request", () => {
  it("prints what the agent answers", async () => {
    const { exit, stdout, stderr } = await call([
      "request",
      "shop.price",
      '{"item":"book"}',
      ...withAgents("shop"),
    ]);
    expect([exit, stdout, stderr]).toEqual([0, '{\n  "cents": 400\n}\n', ""]);
  });

  it("prints one line for programs", async () => {
    const { stdout } = await call([
      "request",
      "--json",
      "shop.price",
      '{"item":"book"}',
      "-H",
      "a:b",
      ...withAgents("shop"),
    ]);
    expect(jsonLines(stdout)).toEqual([
      {
        type: "reply",
        target: "shop.price",
        channel: "agent.shop.commands.price",
        payload: { cents: 400 },
        elapsedMs: expect.any(Number),
      },
    ]);
  });

  it("asks a channel as well as a command", async () => {
    const { stdout } = await call([
      "request",
      "--json",
      "agent.shop.commands.price",
      '{"item":"a"}',
      ...withAgents("shop"),
    ]);
    expect(jsonLines(stdout)).toEqual([expect.objectContaining({ payload: { cents: 100 } })]);
  });

  it("asks once for every line, and prints an answer a line", async () => {
    const { exit, stdout } = await call(["request", "shop.price", "-", ...withAgents("shop")], {
      stdin: '{"item":"a"}\n{}\n{"item":"bb"}\n',
    });
    expect([exit, stdout]).toEqual([2, '{"cents":100}\n{"cents":200}\n']);
  });

  it.each([
    ["input that breaks the schema", "shop.price", "{}", { exit: 65, says: "item is required" }],
    [
      "a command that the agent does not have",
      "shop.prise",
      "{}",
      { exit: 69, says: "Did you mean shop.price?" },
    ],
    ["an agent that is not there", "shp.price", "{}", { exit: 69, says: "Did you mean shop.price?" }],
    [
      "a channel that nobody answers on",
      "weather.report.today",
      "{}",
      { exit: 69, says: "These are answered: shop.fail, shop.never, shop.price." },
    ],
    ["an agent that fails", "shop.fail", "{}", { exit: 1, says: "the till is empty" }],
    ["a target that is no channel", "a b", "{}", { exit: 64, says: "is not a channel name" }],
    ["data that is no JSON", "shop.price", "{", { exit: 65, says: "The data is not JSON" }],
  ])("tells of %s", async (_what, target, data, expected) => {
    const { exit, stdout, stderr } = await call(["request", target, data, ...withAgents("shop")]);
    expect([exit, stdout]).toEqual([expected.exit, ""]);
    expect(stderr).toContain(expected.says);
  });

  it("ends with 75 when no answer comes in time", async () => {
    const { exit, stderr } = await call([
      "request",
      "--json",
      "shop.never",
      "--timeout",
      "20ms",
      ...withAgents("shop"),
    ]);
    expect(exit).toBe(75);
    expect(jsonLines(stderr)[0]).toMatchObject({ error: { code: "TIMEOUT", exit: 75 } });
  });

  it("says that nobody answers where no agent answers anything", async () => {
    const { exit, stderr } = await call(["request", "shop.price", ...withAgents("packer")]);
    expect(exit).toBe(69);
    expect(stderr).toContain("fix: Give the manifest of the agent that answers with --manifest");
  });
});
