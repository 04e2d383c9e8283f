import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MemoryBroker, MessagingService, RejectError } from "../../src/index.ts";
import { COMMITS, JOURNAL, SCANNED, type Scan } from "../../examples/commit-watch/channels.ts";
import { readLog } from "../../examples/commit-watch/kept-log.ts";
import { Operator } from "../../examples/commit-watch/operator.ts";
import { backlogOf } from "../../examples/commit-watch/terminal/account.ts";

const SHA = "a".repeat(40);
const scanOf = (sha: string): Scan => ({
  sha,
  findings: { low: 0, medium: 0, high: 0, critical: 0 },
  filesCut: 0,
  filesOmitted: 0,
  fixturesSkipped: 0,
});

describe("the operator's desk", () => {
  let broker: MemoryBroker;
  let desk: MessagingService;
  let scanner: MessagingService;
  let source: MessagingService;
  let isBroken: boolean;
  let isLost: boolean;
  const said: string[] = [];
  const handled: string[] = [];

  beforeEach(async () => {
    broker = new MemoryBroker();
    isBroken = true;
    isLost = false;
    said.length = 0;
    handled.length = 0;
    desk = new MessagingService({ agentId: "operator", broker });
    scanner = new MessagingService({ agentId: "security-scanner", broker, retry: { maxAttempts: 1 } });
    source = new MessagingService({ agentId: "commit-source", broker });
    for (const agent of [desk, scanner, source]) await agent.start();
    await scanner.subscribe(COMMITS.channel, ({ id }) => {
      if (isBroken) throw new Error("It is broken.");
      handled.push(id);
    });
    await scanner.registerCommandHandler("repair_rule", () => {
      const repaired = isBroken;
      isBroken = false;
      return { repaired };
    });
    await source.registerCommandHandler<{ sha: string }>("publish_again", async ({ sha }) => {
      if (isLost) throw new RejectError("It is gone.");
      return { id: await source.publish(COMMITS.channel, "whole", { id: sha }) };
    });
  });
  afterEach(() => Promise.all([desk, scanner, source].map((agent) => agent.stop())));

  /** Dead letters as they lie in the broker. */
  const stored = () => broker.admin.browse("dlq.security-scanner", { limit: 10 });

  /** What a start leaves that was killed between writing a dead letter and settling its message. */
  async function writeItTwice(): Promise<void> {
    const [first] = await stored();
    const { channel: _channel, ...envelope } = first?.envelope ?? expect.fail("There is no dead letter.");
    await broker.publish([{ ...envelope, channel: "dlq.security-scanner" }]);
    expect(await stored()).toHaveLength(2);
  }

  async function publishDamaged(): Promise<void> {
    const [sound] = await broker.admin.browse(COMMITS.channel, { limit: 1 });
    const { envelope } = sound ?? expect.fail("There is no commit.");
    await broker.publish([{ ...envelope, id: "b".repeat(40), body: new TextEncoder().encode('"brok') }]);
  }

  it("sends a message back once whose dead letter was written twice, and leaves none", async () => {
    const operator = new Operator(desk, (line) => said.push(line));
    await source.publish(COMMITS.channel, "a commit", { id: SHA });
    await operator.idle();
    await writeItTwice();
    const treated = await operator.treatDeadLetters();
    expect(treated).toMatchObject([{ id: SHA, code: "HANDLER_FAILED", treatment: "redriven" }]);
    expect(handled).toEqual([SHA]);
    expect(await stored()).toEqual([]);
    expect(said.join()).toContain("is repaired");
  });

  it("has a damaged message published again once whose dead letter was written twice, and leaves none", async () => {
    const operator = new Operator(desk, (line) => said.push(line));
    isBroken = false;
    await source.publish(COMMITS.channel, "a commit", { id: SHA });
    await publishDamaged();
    await operator.idle();
    await writeItTwice();
    const treated = await operator.treatDeadLetters();
    expect(treated).toMatchObject([{ id: "b".repeat(40), code: "MALFORMED", treatment: "republished" }]);
    expect(handled).toEqual([SHA, "b".repeat(40)]);
    expect(await stored()).toEqual([]);
  });

  it("leaves a dead letter where it is that its source cannot publish again, and says so", async () => {
    const operator = new Operator(desk, (line) => said.push(line));
    isBroken = false;
    await source.publish(COMMITS.channel, "a commit", { id: SHA });
    await publishDamaged();
    await operator.idle();
    isLost = true;
    expect(await operator.treatDeadLetters()).toEqual([]);
    expect(await operator.leftovers()).toMatchObject([{ code: "MALFORMED", treatment: "left" }]);
    expect(said.join()).toContain("stays a dead letter: It is gone.");
  });

  it("knows what was scanned before it came, counts it once, and is told of what is scanned then", async () => {
    for (const sha of ["1", "2", "2"]) await scanner.publish(SCANNED, scanOf(sha), { id: `scanned:${sha}` });
    const operator = new Operator(desk, () => {});
    await operator.follow();
    expect(operator.scanned).toBe(2);
    await scanner.publish(SCANNED, scanOf("3"), { id: "scanned:3" });
    await operator.idle();
    expect(operator.scanned).toBe(3);
    expect((await operator.scans()).map(({ sha }) => sha)).toEqual(["1", "2", "3"]);
  });

  it("reads an empty log to its end as well, and takes nothing away by reading", async () => {
    expect(await readLog(desk, JOURNAL)).toEqual([]);
    await desk.subscribe(SCANNED, () => new Promise(() => {}));
    await scanner.publish(SCANNED, scanOf("1"), { id: "scanned:1" });
    expect(await readLog(source, SCANNED)).toHaveLength(1);
    expect(await readLog(source, SCANNED)).toHaveLength(1);
    expect((await backlogOf(desk)).get(SCANNED.channel)).toBe(1);
    await desk.stop({ gracePeriodMs: 0 });
  });
});
