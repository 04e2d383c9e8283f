import { describe, expect, it } from "vitest";
import { call, jsonLines } from "./support/in-process.ts";

describe("a wrong command line", () => {
  it.each([
    ["nothing", [], "herald needs a command.", "herald --help shows what it takes."],
    ["a mistyped command", ["vaildate", "x"], "There is no command 'vaildate'.", "Did you mean validate?"],
    [
      "a mistyped command of dlq",
      ["dlq", "redrvie"],
      "There is no command 'redrvie'.",
      "Did you mean redrive?",
    ],
    ["dlq alone", ["dlq"], "herald dlq needs a command.", "herald dlq --help"],
    [
      "a mistyped option",
      ["run", "--untl-idle", "x"],
      "herald run has no option '--untl-idle'.",
      "Did you mean --until-idle?",
    ],
    [
      "a mistyped option of every command",
      ["doctor", "--jsn"],
      "herald doctor has no option '--jsn'.",
      "Did you mean --json?",
    ],
    [
      "an option like none",
      ["run", "--zzzzzzzz", "x"],
      "herald run has no option '--zzzzzzzz'.",
      "herald run --help",
    ],
    ["nobody to talk to", ["publish", "a"], "On 'memory:' is nobody to talk to.", "--manifest"],
    [
      "no channel",
      ["publish", "-m", "a.yaml", "orders.created", "{}"],
      "herald publish needs its argument <channel>.",
      "--help",
    ],
    ["no file to validate", ["validate"], "herald validate needs its argument <manifest>.", "--help"],
    [
      "a value that is no choice",
      ["validate", "--format", "xml", "a"],
      "Allowed choices are text, json, github.",
      "--help",
    ],
    ["an option without its value", ["lag", "-m"], "argument missing.", "--help"],
    [
      "a duration without a unit",
      ["lag", "--settle", "5", "-m", "a"],
      "'5' is not a duration.",
      "Write 500ms",
    ],
    ["too many arguments", ["doctor", "x"], "Too many arguments", "--help"],
  ])("with %s ends with 64 and says what to do", async (_what, argv, message, hint) => {
    const { exit, stdout, stderr } = await call(argv);
    expect([exit, stdout]).toEqual([64, ""]);
    expect(stderr).toMatch(/^error: .+\n {2}why: .+\n {2}fix: .+\n$/);
    expect(stderr).toContain(message);
    expect(stderr).toContain(hint);
  });

  it("is told as JSON to programs", async () => {
    const { exit, stderr } = await call(["--json", "publsh"]);
    expect(exit).toBe(64);
    expect(jsonLines(stderr)).toEqual([
      {
        error: {
          code: "USAGE",
          exit: 64,
          message: "There is no command 'publsh'.",
          why: expect.any(String),
          hint: expect.stringContaining("publish"),
        },
      },
    ]);
  });

  it("says which words a list of manifests has swallowed", async () => {
    expect((await call(["publish", "-m", "a.yaml", "orders.created"])).stderr).toContain(
      "why: --manifest takes every word up to the next option or --.",
    );
  });
});
