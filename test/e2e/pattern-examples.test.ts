import { rmSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { scratchFolder } from "../support/file-store.ts";
import { run } from "../support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

async function printed(example: string, folder: string): Promise<string[]> {
  const ran = await run(process.execPath, [path.join(ROOT, "examples", example, "main.ts"), folder], {
    cwd: ROOT,
  });
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  return ran.stdout.trimEnd().split("\n");
}

function folder(): string {
  const made = scratchFolder("example");
  folders.push(made);
  return path.join(made, "store");
}

describe("the examples of patterns", () => {
  it("book three trips: one goes through, one is undone, one waits and goes on without its room; and again", async () => {
    const store = folder();

    for (let time = 0; time < 2; time++)
      expect(await printed("saga", store)).toEqual([
        "ada books 2 nights",
        "  airline: a seat for ada",
        "  hotel: a room for ada",
        "  bank: ada has paid",
        '  booked: {"nights":2,"who":"ada","flight":"LH 7","room":12,"paid":160}',
        "bob books 3 nights",
        "  airline: a seat for bob",
        "  hotel: a room for bob",
        "  hotel: no room for bob",
        "  airline: no seat for bob",
        "  SagaError: Saga 'booking' bob failed in step 'pay' (the card was refused); what came before it was undone.",
        "eve books 90 nights",
        "  airline: a seat for eve",
        "  HeraldError: Saga 'booking' eve is stuck in step 'room' (nobody stays that long): retry it, skip the step with a reason, or compensate.",
        "eve is stuck at room",
        "  bank: eve has paid",
        '  booked without it: {"nights":90,"who":"eve","flight":"LH 7","paid":7200}',
      ]);
  });

  it("show orders at every version, a list that is made anew, and unbroken chains", async () => {
    expect(await printed("events", folder())).toEqual([
      'at version 1: {"items":["tea"],"state":"new"}',
      'at version 3: {"items":["tea","cup"],"state":"placed"}',
      'at version 4: {"items":["tea","cup"],"state":"sent"}',
      'sold: {"tea":1,"cup":1,"kettle":1}',
      'made anew, in pairs: {"tea":2,"cup":2,"kettle":2}',
      "order.1: whole, 4 events",
      "order.2: whole, 2 events",
    ]);
  });
});
