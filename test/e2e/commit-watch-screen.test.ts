import { afterEach, describe, expect, it, vi } from "vitest";
import { screenFor } from "../../examples/commit-watch/terminal/screen.ts";

function terminal(isTTY: boolean) {
  const written: string[] = [];
  const stream = { isTTY, columns: 20, rows: 5, write: (text: string) => written.push(text) };
  return { written, screen: screenFor(stream as unknown as NodeJS.WriteStream) };
}

describe("the live account", () => {
  afterEach(() => void vi.useRealTimers());

  it("draws over itself at most ten times a second, cut to the size of the terminal", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const { written, screen } = terminal(true);
    for (let ms = 0; ms < 1000; ms += 10) {
      screen.show(
        () => Array.from({ length: 9 }, (_, at) => `${at} ${"wide ".repeat(9)}`),
        () => "",
      );
      vi.advanceTimersByTime(10);
    }
    expect(written).toHaveLength(10);
    expect(written[1]?.startsWith("\u001b[4A\r\u001b[J")).toBe(true);
    const lines = written[1]?.split("\u001b[J")[1]?.trimEnd().split("\n") ?? [];
    expect(lines).toHaveLength(4);
    for (const line of lines) expect(line.length).toBeLessThan(20);
  });

  it("keeps what is said, also what was said after the last drawing", () => {
    const { written, screen } = terminal(true);
    screen.show(
      () => ["drawn"],
      () => "",
    );
    screen.say("said");
    screen.end();
    expect(written.at(-1)).toBe("\u001b[1A\r\u001b[Jsaid\n");
  });

  it("prints lines elsewhere, the first soon, in the end one a second", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const { written, screen } = terminal(false);
    const saidAt: number[] = [];
    for (let ms = 0; ms <= 20_000; ms += 10) {
      const before = written.length;
      screen.show(
        () => [],
        () => String(ms),
      );
      if (written.length > before) saidAt.push(ms);
      vi.advanceTimersByTime(10);
    }
    expect(saidAt[0]).toBe(100);
    const gaps = saidAt.map((ms, at) => ms - (saidAt[at - 1] ?? 0));
    expect(gaps.toSorted((a, b) => a - b)).toEqual(gaps);
    expect(gaps.at(-1)).toBe(1000);
  });

  it("prints no line twice in a row elsewhere", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const { written, screen } = terminal(false);
    for (const brief of ["one", "one", "one", "two", "two"]) {
      vi.advanceTimersByTime(600);
      screen.show(
        () => ["never"],
        () => brief,
      );
    }
    expect(written).toEqual(["one\n", "two\n"]);
  });
});
