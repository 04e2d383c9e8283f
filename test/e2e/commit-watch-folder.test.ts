import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UsageError } from "../../examples/commit-watch/options.ts";
import { RunFolder, type RunSubject } from "../../examples/commit-watch/run-folder.ts";

const SUBJECT: RunSubject = { repository: "/harbour", limit: null, head: "a".repeat(40) };
const DAY_MS = 86_400_000;

describe("the folder of a run", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "herald-folder-"));
  });
  afterEach(() => {
    vi.useRealTimers();
    rmSync(folder, { recursive: true, force: true });
  });

  /** One start, with a message in its broker's folder, that ends as it is told. */
  const start = (
    subject: Partial<RunSubject> = {},
    { fresh = false, finish = false }: { readonly fresh?: boolean; readonly finish?: boolean } = {},
  ) => {
    const run = RunFolder.open(folder, { ...SUBJECT, ...subject }, fresh);
    const found = existsSync(run.brokerFolder);
    mkdirSync(run.brokerFolder, { recursive: true });
    writeFileSync(path.join(run.brokerFolder, "messages"), "");
    if (finish) run.finish();
    run.close();
    const { resumed, replaces, starts, subject: about, begunAt } = run;
    return {
      resumed,
      replaces,
      starts,
      found,
      head: about.head,
      begunAt,
      key: Buffer.from(run.key).toString("hex"),
    };
  };

  it("takes a run up that did not end: same messages, same key, the history as it was when it began", () => {
    const first = start();
    expect(first).toMatchObject({ resumed: false, replaces: false, starts: 1, found: false });
    expect(first.key).toHaveLength(64);
    const second = start({ head: "b".repeat(40) });
    expect(second).toEqual({ ...first, resumed: true, starts: 2, found: true });
  });

  it("begins anew after a run that ended, with another key", () => {
    const first = start({}, { finish: true });
    const second = start();
    expect(second).toMatchObject({ resumed: false, replaces: false, starts: 1, found: false });
    expect(second.key).not.toBe(first.key);
  });

  it.each<[string, Partial<RunSubject>, boolean]>([
    ["another repository is asked for", { repository: "/quay" }, false],
    ["another number of commits is asked for", { limit: 5 }, false],
    ["the history is no more to be read, and the sample is", { head: null }, false],
    ["it is told to", {}, true],
  ])("begins anew when %s, and says that something is thrown away", (_when, subject, fresh) => {
    start();
    expect(start(subject, { fresh })).toMatchObject({
      resumed: false,
      replaces: true,
      found: false,
      starts: 1,
    });
    expect(readdirSync(folder).toSorted()).toEqual(["broker", "lock", "run.json"]);
  });

  it("begins anew when the run is so old that its ids are being forgotten", () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 8 * DAY_MS });
    start();
    vi.useRealTimers();
    expect(start()).toMatchObject({ resumed: false, replaces: true, found: false });
  });

  it.each(["", "{", '{"version":2}', "null"])("begins anew when its record is %j", (record) => {
    start();
    writeFileSync(path.join(folder, "run.json"), record);
    expect(start()).toMatchObject({ resumed: false, found: false });
  });

  it("is nobody else's to read", () => {
    const own = path.join(folder, "deep", "own");
    RunFolder.open(own, SUBJECT, false).close();
    const modes = [own, path.join(own, "run.json"), path.join(own, "lock")].map(
      (file) => statSync(file).mode & 0o777,
    );
    expect(modes).toEqual([0o700, 0o600, 0o600]);
  });

  it("lets one start in at a time, and the next when that has let go", () => {
    const first = RunFolder.open(folder, SUBJECT, false);
    expect(() => RunFolder.open(folder, SUBJECT, true)).toThrow(
      /^Another start works on the run in .*--data/,
    );
    expect(() => RunFolder.open(folder, SUBJECT, false)).toThrow(
      expect.objectContaining({ exitCode: 75 }) as Error,
    );
    first.close();
    expect(start()).toMatchObject({ resumed: true, starts: 2 });
  });

  it("takes no folder that holds anything else, and leaves that alone", () => {
    writeFileSync(path.join(folder, "letter.txt"), "mine");
    expect(() => RunFolder.open(folder, SUBJECT, true)).toThrow(UsageError);
    expect(() => RunFolder.open(path.join(folder, "letter.txt"), SUBJECT, true)).toThrow(
      expect.objectContaining({ exitCode: 73 }) as Error,
    );
    expect(readdirSync(folder)).toEqual(["letter.txt"]);
    expect(readFileSync(path.join(folder, "letter.txt"), "utf8")).toBe("mine");
  });
});
