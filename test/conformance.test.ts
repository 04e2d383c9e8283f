import { describe, expect, it } from "vitest";
import { ABILITIES, type Ability } from "../src/core/broker.ts";
import { CASES } from "../src/testing/conformance/cases/index.ts";
import { abilityMatrix, formatReport } from "../src/testing/conformance/report.ts";
import { runCase, runConformance } from "../src/testing/conformance/run.ts";
import { testBroker, type TestContext } from "../src/testing/conformance/test-broker.ts";
import type { ConformanceCase } from "../src/testing/conformance/case.ts";
import type { Harness } from "../src/testing/conformance/harness.ts";
import { memoryHarness } from "./support/harness.ts";
import { PlainBroker } from "./support/plain-broker.ts";

/** The memory broker with abilities taken away, at a twentieth of the reference's counts. */
function plain(...off: readonly Ability[]): Harness {
  return {
    ...memoryHarness,
    name: "plain",
    scale: 0.05,
    create: async (options) => new PlainBroker(await memoryHarness.create(options), off),
  };
}

const BASE: ConformanceCase = {
  id: "t-made",
  group: "T",
  title: "a case made here",
  acked: 0,
  run: () => Promise.resolve(),
};
const WITHOUT_GROUPS = ABILITIES.filter((ability) => ability !== "groups");

describe("a broker with nothing but groups", () => {
  it("passes the suite: what it lacks is refused, and every case names what it needs", async () => {
    const report = await runConformance(plain(...WITHOUT_GROUPS));

    expect(report.cases.filter(({ status }) => status === "failed")).toEqual([]);
    expect(report.passed).toBeGreaterThan(40);
    expect(report.notApplicable).toContainEqual({ case: "a05-wildcards", ability: "wildcard" });
    expect(report.notApplicable).toContainEqual({ case: "d01-priority", ability: "priority" });
  });

  it("passes every ability's case by refusing, whichever ability it lacks", async () => {
    for (const ability of ABILITIES) {
      const report = await runConformance(plain(ability), { only: (id) => id === `ability-${ability}` });

      expect(report.cases.map((result) => [result.case, result.status, result.error])).toEqual([
        [`ability-${ability}`, "passed", undefined],
      ]);
    }
  });
});

describe("a case", () => {
  it("fails when it proves nothing: fewer acknowledged messages than it declares", async () => {
    const result = await runCase(memoryHarness, { ...BASE, acked: 5 });

    expect(result).toMatchObject({ status: "failed", anomalies: ["vacuous"] });
  });

  it("fails when it injected fewer faults than it declares", async () => {
    expect((await runCase(memoryHarness, { ...BASE, faults: 1 })).status).toBe("failed");
  });

  it("fails when its history is wrong, although its body is content", async () => {
    const result = await runCase(memoryHarness, {
      ...BASE,
      async run(context) {
        const channel = context.channel();
        await context.subscribe(channel);
        await context.publish(context.envelope(channel));
      },
    });

    expect(result).toMatchObject({ status: "failed", anomalies: ["lost-prefix"] });
  });

  it("fails when a rejection in it is handled by nobody", async () => {
    const result = await runCase(memoryHarness, {
      ...BASE,
      async run(context) {
        void Promise.reject(new Error("nobody listens"));
        await context.time.elapse(5);
      },
    });

    expect(result.error).toContain("unhandled rejection: nobody listens");
  });

  it("fails when it does not end", async () => {
    const result = await runCase(memoryHarness, { ...BASE, timeoutMs: 20, run: () => new Promise(() => {}) });

    expect(result.error).toContain("did not end within 20 ms");
  });

  it("fails when its broker cannot be made", async () => {
    const harness: Harness = { ...memoryHarness, create: () => Promise.reject(new Error("no server")) };

    expect(await runCase(harness, BASE)).toMatchObject({ status: "failed", error: "no server" });
  });

  it("does not apply when the broker lacks what it needs", async () => {
    expect(await runCase(memoryHarness, { ...BASE, needs: ["groups", "persist"] })).toMatchObject({
      status: "notApplicable",
      ability: "persist",
    });
  });

  it("fails when it is only declared and its ability is claimed", async () => {
    const declared = CASES.find(({ id }) => id === "f04-crash-points");

    const result = await runCase({ ...memoryHarness, traits: ["tx"] }, declared ?? BASE);

    expect(result.error).toContain("has no body yet");
  });
});

describe("the suite", () => {
  it("has every case once, under the letter of its group", () => {
    const ids = CASES.map(({ id }) => id);

    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, group } of CASES)
      expect(group === "abilities" || group === id.charAt(0).toUpperCase(), id).toBe(true);
  });

  it("names every case of the published list but the two that are tests of the file broker alone", () => {
    const counts = { a: 10, b: 8, c: 12, d: 6, e: 8, f: 7, g: 4, h: 4, i: 11, j: 8, k: 5 };
    const ids = CASES.map(({ id }) => id);
    const missing = Object.entries(counts).flatMap(([letter, count]) =>
      Array.from({ length: count }, (_none, at) => `${letter}${String(at + 1).padStart(2, "0")}-`).filter(
        (prefix) => !ids.some((id) => id.startsWith(prefix)),
      ),
    );

    expect(missing).toEqual(["i07-", "i08-"]);
  });
});

describe("a report", () => {
  it("counts, names what did not apply, and shows the matrix", async () => {
    const report = await runConformance(memoryHarness, {
      only: (id) => ["c-ack-ends", "c03-lease-expiry"].includes(id),
    });

    expect(report).toMatchObject({
      broker: "memory",
      passed: 1,
      failed: 0,
      notApplicable: [{ case: "c03-lease-expiry", ability: "lease" }],
    });
    const text = formatReport(report);
    expect(text).toContain("ok c-ack-ends: an acknowledged message does not come again");
    expect(text).toContain("-  c03-lease-expiry: needs lease");
    expect(text).toContain("memory: 1 passed, 0 failed, 1 not applicable");
    expect(
      abilityMatrix([report, { ...report, broker: "other" }])
        .split("\n")
        .slice(0, 5),
    ).toEqual([
      "| ability | memory | other |",
      "| --- | --- | --- |",
      "| durability | none | none |",
      "| ordering | key | key |",
      "| groups | yes | yes |",
    ]);
  });

  it("shows why a case failed, stops there when told to, and runs likely cases first", async () => {
    const broken: Harness = { ...memoryHarness, create: () => Promise.reject(new Error("no server")) };
    await expect(runConformance(broken)).rejects.toThrow("no server");

    const seen: string[] = [];
    const closing: Harness = {
      ...memoryHarness,
      createService: () => {
        throw new Error("no service");
      },
    };
    const report = await runConformance(closing, {
      bail: true,
      first: (id) => id.startsWith("e"),
      onResult: (result) => seen.push(result.case),
    });

    expect(seen).toEqual(["e01-request-reply"]);
    expect(report.failed).toBe(1);
    expect(formatReport(report)).toContain("FAIL e01-request-reply");
    expect(formatReport(report)).toContain("no service");
  });
});

describe("testBroker", () => {
  it("registers every case as a test that fails, passes or skips as the case does", async () => {
    const tests = new Map<string, (context: TestContext) => Promise<void>>();
    testBroker(
      {
        ...memoryHarness,
        createService: () => {
          throw new Error("no service");
        },
      },
      {
        describe: (_name, define) => define(),
        it: (name, run) => tests.set(name.split(":")[0] ?? "", run),
      },
    );
    const skipped: string[] = [];
    const context = { skip: (note?: string) => skipped.push(note ?? "") };

    await tests.get("c-ack-ends")?.(context);
    await tests.get("c03-lease-expiry")?.(context);

    expect(tests.size).toBe(CASES.length);
    expect(skipped).toEqual(["the broker lacks: lease"]);
    await expect(tests.get("a10-batch")?.({})).rejects.toThrow("no service");
  });
});
