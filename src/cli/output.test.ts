import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Captured } from "../../test/cli/support/in-process.ts";
import { failureOf } from "./failure.ts";
import { createLogger } from "./log.ts";
import { showLive } from "./live.ts";
import { Output, type OutputOptions } from "./output.ts";

const PLAIN: OutputOptions = { json: false, quiet: false, verbose: false };

afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

function make(options: Partial<OutputOptions> = {}, columns?: number) {
  const [stdout, stderr] = [new Captured(columns), new Captured(columns)];
  const closed = vi.fn();
  const streams = { stdin: new PassThrough(), stdout: stdout.terminal, stderr: stderr.terminal };
  return { output: new Output({ ...PLAIN, ...options }, streams, closed), stdout, stderr, closed };
}

describe("Output", () => {
  it("is as wide as the terminal, else as COLUMNS says, else 80", () => {
    vi.stubEnv("COLUMNS", "");
    expect(make({}, 40).output.width).toBe(40);
    expect(make().output.width).toBe(80);
    vi.stubEnv("COLUMNS", "100");
    expect([make({}, 40).output.width, make().output.width]).toEqual([40, 100]);
    vi.stubEnv("COLUMNS", "-3");
    expect(make().output.width).toBe(80);
  });

  it("puts data on stdout and remarks on stderr", () => {
    const { output, stdout, stderr } = make();
    output.line("data");
    output.note("a remark\u001b[2J");
    expect([stdout.text, stderr.text]).toEqual(["data\n", "a remark\\u{1b}[2J\n"]);
  });

  it("keeps remarks to itself when quiet, and makes them JSON for programs", () => {
    const quiet = make({ quiet: true });
    quiet.output.note("hush");
    expect(quiet.stderr.text).toBe("");
    const json = make({ json: true });
    json.output.note("said");
    expect(json.stderr.text).toBe('{"note":"said"}\n');
  });

  it("tells an error in three lines, wrapped on a terminal and whole elsewhere", () => {
    const failure = {
      ...failureOf(new Error("x")),
      message: "It is not there any more.",
      why: "Because.",
      hint: "Look.",
    };
    const elsewhere = make();
    elsewhere.output.failure(failure);
    expect(elsewhere.stderr.text).toBe("error: It is not there any more.\n  why: Because.\n  fix: Look.\n");
    vi.stubEnv("NO_COLOR", "1");
    const narrow = make({}, 24);
    narrow.output.failure(failure);
    expect(narrow.stderr.text).toBe(
      "error: It is not\n       there any more.\n  why: Because.\n  fix: Look.\n",
    );
  });

  it("says nothing more when the reader has gone, and that is no fault", () => {
    const { output, stdout, closed } = make();
    stdout.emit("error", Object.assign(new Error("EPIPE"), { code: "EPIPE" }));
    output.line("nobody hears this");
    expect([output.isClosed, output.fault, stdout.text]).toEqual([true, undefined, ""]);
    expect(closed).toHaveBeenCalledExactlyOnceWith(undefined);
  });

  it("keeps the reason for which stdout could not be written", () => {
    const { output, stdout, closed } = make();
    const full = Object.assign(new Error("full"), { code: "ENOSPC" });
    stdout.emit("error", full);
    stdout.emit("error", new Error("again"));
    expect(output.fault).toBe(full);
    expect(closed).toHaveBeenCalledExactlyOnceWith(full);
  });

  it("is ready again when a slow reader has caught up, or has gone", async () => {
    const stdout = new PassThrough({ highWaterMark: 4 });
    const streams = { stdin: new PassThrough(), stdout, stderr: new PassThrough() };
    const output = new Output(PLAIN, streams, () => {});
    output.line("more than four bytes");
    let ready = false;
    const waiting = output.ready().then(() => (ready = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(ready).toBe(false);
    stdout.resume();
    await waiting;
    await output.ready();
  });

  it("writes a line above what is drawn, and draws that again", () => {
    const { output, stderr } = make({}, 80);
    output.draw(["one", "two"]);
    output.stderr("between");
    output.draw([]);
    const up = "\r\u001b[2A\u001b[0J";
    expect(stderr.text).toBe(`one\ntwo\n${up}between\none\ntwo\n${up}`);
  });
});

describe("showLive", () => {
  const account = () => ({
    channels: [
      {
        channel: "orders",
        published: 2,
        handled: 1,
        failed: 0,
        retried: 1,
        deadLettered: 0,
        expired: 0,
        filtered: 0,
        p95LatencyMs: 1,
      },
    ],
    total: { published: 2, handled: 1, failed: 0, retried: 1, deadLettered: 0, expired: 0, filtered: 0 },
  });

  it("draws the account over and over on a terminal, and takes it away", () => {
    vi.useFakeTimers();
    vi.stubEnv("NO_COLOR", "1");
    const { output, stderr } = make({}, 80);
    const hide = showLive(output, account);
    vi.advanceTimersByTime(500);
    expect(stderr.text.match(/orders/g)).toHaveLength(2);
    hide();
    expect(stderr.text.endsWith("\r\u001b[3A\u001b[0J")).toBe(true);
    const { length } = stderr.text;
    vi.advanceTimersByTime(500);
    expect(stderr.text).toHaveLength(length);
  });

  it("draws no more lines than the terminal has", () => {
    vi.useFakeTimers();
    const { output, stderr } = make({}, 80);
    const many = {
      ...account(),
      channels: Array.from({ length: 50 }, () => account().channels[0]).flatMap((row) => row ?? []),
    };
    const hide = showLive(output, () => many);
    vi.advanceTimersByTime(250);
    hide();
    expect(stderr.text.match(/\n/g)).toHaveLength(23);
  });

  it("says a line every ten seconds where stderr is no terminal", () => {
    vi.useFakeTimers();
    const { output, stderr } = make();
    const hide = showLive(output, account);
    vi.advanceTimersByTime(20_000);
    hide();
    expect(
      stderr.text.split("\n").filter((line) => line.startsWith("2 published, 1 handled, 1 retry")),
    ).toHaveLength(2);
  });

  it.each([{ quiet: true }, { json: true }])("shows nothing with %j", (options) => {
    vi.useFakeTimers();
    const { output, stderr } = make(options, 80);
    showLive(output, account)();
    vi.advanceTimersByTime(20_000);
    expect(stderr.text).toBe("");
  });
});

describe("createLogger", () => {
  it("writes warnings for people, with what steers a terminal escaped", () => {
    const { output, stderr } = make();
    const logger = createLogger(output);
    logger.info({}, "not shown");
    logger.warn({ id: 1 }, "look\u001b[2J");
    expect(stderr.text).toMatch(/^\d\d:\d\d:\d\d\.\d{3}Z warn look\\u\{1b\}\[2J\n$/);
  });

  it("writes errors alone when quiet", () => {
    const { output, stderr } = make({ quiet: true });
    const logger = createLogger(output);
    logger.warn({}, "not shown");
    logger.error({}, "shown");
    expect(stderr.text).toMatch(/error shown\n$/);
  });

  it("writes everything with fields and stacks when verbose", () => {
    const { output, stderr } = make({ verbose: true });
    createLogger(output).debug({ id: "a", n: 1, err: new Error("inside") }, "all");
    expect(stderr.text).toMatch(/debug all id=a n=1\n {4}at /);
  });

  it("writes pino's own lines for programs", () => {
    const { output, stderr } = make({ json: true });
    createLogger(output).error({ id: "a" }, "bad\u009b");
    expect(JSON.parse(stderr.text)).toMatchObject({ level: 50, id: "a", msg: "bad\u009b" });
    expect(stderr.text).toContain("\\u009b");
  });
});
