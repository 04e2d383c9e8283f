import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { manifest, withAgents } from "./support/fixtures.ts";
import { jsonLines } from "./support/in-process.ts";
import { herald, Herald } from "./support/spawn.ts";

const MAIN = path.resolve(import.meta.dirname, "../../src/cli/main.ts");

/** Runs the command line in a shell, as people do. */
function shell(script: string, env: Readonly<Record<string, string>> = {}) {
  // Node takes a terminal for one without colours where CI is set; here it is the terminal that is tested.
  const { CI: _ci, ...inherited } = process.env;
  const command = script.replaceAll("herald", `"${process.execPath}" "${MAIN}"`);
  const { status, stdout, stderr } = spawnSync("bash", ["-c", `set -o pipefail; ${command}`], {
    encoding: "utf8",
    env: { ...inherited, HERALD_URL: "memory:", NODE_OPTIONS: "", ...env },
  });
  return { exit: status, stdout, stderr };
}

describe("the process", () => {
  it("prints its help on stdout, as wide as COLUMNS says, and its version", async () => {
    const { exit, stdout, stderr } = await herald(["--help"], { env: { COLUMNS: "40" } });
    expect([exit, stderr]).toEqual([0, ""]);
    for (const name of [
      "run",
      "validate",
      "publish",
      "tail",
      "request",
      "dlq",
      "lag",
      "channels",
      "broker",
      "doctor",
    ])
      expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    expect(stdout).toMatch(/Exit codes: 0 done/);
    expect(stdout.split("\n").filter((line) => line.length > 40)).toEqual([]);
    expect(await herald(["--version"])).toMatchObject({
      exit: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
    expect((await herald(["dlq", "redrive", "--help"])).stdout).toContain("--dry-run");
  });

  it("publishes to agents in a process of its own, JSON on stdout and nothing else", async () => {
    const { exit, stdout, stderr } = await herald([
      "publish",
      "--json",
      ...withAgents("packer"),
      "--",
      "orders.created",
      '{"id":1}',
    ]);
    expect([exit, stderr]).toEqual([0, ""]);
    expect(jsonLines(stdout).map(({ type }) => type)).toEqual(["published", "channel", "channel", "summary"]);
  });

  it("ends although an agent's module holds a timer", async () => {
    expect(await herald(["run", "--until-idle", manifest("ticker"), manifest("slow")])).toMatchObject({
      exit: 0,
    });
  });

  it("reads payloads from stdin as they come", async () => {
    const running = new Herald(["publish", "work.todo", "-", ...withAgents("slow")]);
    running.process.stdin.write('{"ms":0}\n');
    await running.said("work begins");
    running.process.stdin.end('{"ms":0}\n');
    expect(await running.ended).toMatchObject({
      exit: 0,
      stdout: expect.stringContaining("4 published, 2 handled"),
    });
  });
});

describe("a wrong command line", () => {
  it("ends with 64 and three lines on stderr, one line of JSON for programs", async () => {
    const plain = await herald(["vaildate", "x"]);
    expect([plain.exit, plain.stdout]).toEqual([64, ""]);
    expect(plain.stderr).toMatch(
      /^error: There is no command 'vaildate'\.\n {2}why: .+\n {2}fix: Did you mean validate\?.+\n$/,
    );
    const json = await herald(["--json", "vaildate", "x"]);
    expect([json.exit, jsonLines(json.stderr)]).toMatchObject([64, [{ error: { code: "USAGE", exit: 64 } }]]);
  });
});

describe("streams", () => {
  it("a closed stdout ends the command quietly with 0", () => {
    const { exit, stdout, stderr } = shell(
      `herald tail '#' --json -q -m ${manifest("seller")} ${manifest("packer")} ${manifest("shop")} | head -1`,
    );
    expect([exit, jsonLines(stdout).length, stderr]).toEqual([0, 1, expect.not.stringContaining("error:")]);
    expect(shell("herald --help | true")).toMatchObject({ exit: 0, stderr: "" });
  });

  it("a closed stdin holds no payloads", () => {
    const { exit, stdout } = shell(`herald publish orders.created - -m ${manifest("packer")} <&-`);
    expect([exit, stdout]).toEqual([0, expect.stringContaining("0 published")]);
  });

  it("a closed stderr takes nothing from the result", () => {
    expect(shell(`herald validate ${manifest("shop")} 2>&-`)).toMatchObject({
      exit: 0,
      stdout: expect.stringMatching(/^valid/),
    });
  });

  it.skipIf(!existsSync("/dev/full"))("a full disk is an error, not a success (needs /dev/full)", () => {
    const { exit, stderr } = shell(`herald validate ${manifest("shop")} > /dev/full`);
    expect(exit).toBe(1);
    expect(stderr).toMatch(/^error: .*ENOSPC.*\n {2}why: The output could not be written\.\n/);
  });
});

describe("colour", () => {
  const BROKEN = `herald validate ${manifest("broken")}`;
  const ESCAPE = "\u001b[";

  it("is not put into a pipe", () => {
    expect(shell(BROKEN).stdout).not.toContain(ESCAPE);
  });

  it("is shown where FORCE_COLOR asks for it, always beside a word", () => {
    const { stdout } = shell(BROKEN, { FORCE_COLOR: "1" });
    expect(stdout.startsWith("\u001b[31minvalid\u001b[39m")).toBe(true);
    expect(stdout).toContain("\u001b[31merror\u001b[39m");
  });

  it.skipIf(!existsSync("/usr/bin/script"))(
    "is shown on a terminal, unless NO_COLOR or a dumb terminal forbid it (needs script)",
    () => {
      const onTerminal = (env: Readonly<Record<string, string>>) =>
        shell(`script -qec '${BROKEN}' /dev/null < /dev/null`, { TERM: "xterm-256color", ...env }).stdout;
      expect(onTerminal({})).toContain(ESCAPE);
      expect(onTerminal({ NO_COLOR: "1" })).not.toContain(ESCAPE);
      expect(onTerminal({ TERM: "dumb" })).not.toContain(ESCAPE);
    },
  );
});

describe("signals", () => {
  it("Ctrl-C lets the handler that runs finish, then ends with 130", async () => {
    const running = new Herald(["run", "--json", manifest("slow"), manifest("ticker")], {
      env: { WORK_MS: "300" },
    });
    await running.said("work begins");
    running.process.kill("SIGINT");
    const { exit, stdout, stderr } = await running.ended;
    expect(exit).toBe(130);
    expect(stderr).toContain("Ctrl-C again ends at once.");
    expect(jsonLines(stdout).at(-1)).toMatchObject({ type: "summary", published: 2, handled: 1 });
  });

  it("a second Ctrl-C ends at once", async () => {
    const running = new Herald(["run", manifest("slow"), manifest("ticker")], { env: { WORK_MS: "60000" } });
    await running.said("work begins");
    running.process.kill("SIGINT");
    await running.said("Stopping:");
    running.process.kill("SIGINT");
    expect(await running.ended).toMatchObject({ exit: 130, stdout: "" });
  });

  it("a termination drains as well, and ends with 143", async () => {
    const running = new Herald(["run", manifest("shop")]);
    await running.said("1 agent started: shop.");
    running.process.kill("SIGTERM");
    expect((await running.ended).exit).toBe(143);
  });

  it("what had not been handled is counted, not forgotten in silence", async () => {
    const running = new Herald(["publish", "work.todo", "-", ...withAgents("narrow")], {
      stdin: '{"ms":200}\n{"ms":200}\n{"ms":200}\n',
    });
    await running.said("work begins");
    running.process.kill("SIGINT");
    const { exit, stdout, stderr } = await running.ended;
    expect(exit).toBe(130);
    expect(stdout).toContain("1 handled");
    expect(stderr).toContain("2 messages had not been handled; a memory broker forgets them.");
  });

  it("an error that nobody catches ends with 1, and the agents are stopped", async () => {
    const { exit, stdout, stderr } = await herald(["run", manifest("stray")]);
    expect(exit).toBe(1);
    expect(stderr).toContain(
      "error: nobody catches this\n  why: An agent's code threw it outside of any handler.",
    );
    expect(stdout).toContain("0 published");
  });
});
