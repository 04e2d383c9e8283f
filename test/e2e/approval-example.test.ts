import { rmSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call, jsonLines } from "../cli/support/in-process.ts";
import { Herald } from "../cli/support/spawn.ts";
import { scratchFolder } from "../support/file-store.ts";

const EXAMPLE = path.resolve(import.meta.dirname, "../../examples/approval");
const MANIFESTS = ["desk.yaml", "bank.yaml"].map((name) => path.join(EXAMPLE, name));

let folder = "";
const running: Herald[] = [];
const url = () => `file:${folder}`;
/** The second terminal: the command line over the same folder, in another process than the agents. */
const terminal = (argv: readonly string[], stdin?: string) =>
  call([...argv, "--json", "--url", url()], stdin === undefined ? {} : { stdin });

beforeEach(() => (folder = scratchFolder("approval")));
afterEach(async () => {
  for (const agents of running.splice(0)) {
    agents.process.kill("SIGKILL");
    await agents.ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

/** The first terminal. */
async function agents(): Promise<Herald> {
  const started = new Herald(["run", ...MANIFESTS], { env: { HERALD_URL: url() } });
  running.push(started);
  await started.said("2 agents started");
  return started;
}

async function ask(
  command: string,
  input: object = {},
): Promise<{ exit: number; payload: unknown; error: unknown }> {
  const asked = await terminal(["request", `desk.${command}`, JSON.stringify(input)]);
  const [reply] = jsonLines(asked.stdout);
  const [said] = jsonLines(asked.stderr);
  return { exit: asked.exit, payload: reply?.["payload"], error: said?.["error"] };
}

async function requested(...payments: readonly object[]): Promise<string[]> {
  const stdin = payments.map((payment) => `${JSON.stringify(payment)}\n`).join("");
  const told = await terminal(["publish", "payments.requested", "-"], stdin);
  return jsonLines(told.stdout).flatMap(({ type, id }) => (type === "published" ? [String(id)] : []));
}

async function made(count: number): Promise<unknown[]> {
  const tail = ["tail", "payments.made", "--from", "earliest", "--limit", String(count)];
  return jsonLines((await terminal(tail)).stdout).map(({ payload }) => payload);
}

describe("the approval example", () => {
  it("keeps payments that wait for a person through a kill, and does what a second terminal says, once", async () => {
    const first = await agents();
    const [, big, huge] = await requested(
      { to: "Ada", amount: 20 },
      { to: "Bob", amount: 900 },
      { to: "Eve", amount: 50_000 },
    );
    await expect.poll(async () => (await ask("waiting")).payload).toHaveLength(2);
    expect(await made(1)).toEqual([{ to: "Ada", amount: 20 }]);

    first.process.kill("SIGKILL");
    await first.ended;
    await agents();

    const waiting = (await ask("waiting")).payload as { id: string }[];
    expect(waiting.map(({ id }) => id).toSorted()).toEqual([big, huge].toSorted());
    expect(await ask("approve", { id: big, by: "Grace" })).toMatchObject({
      exit: 0,
      payload: { to: "Bob", decision: { verdict: "approved", by: "Grace" } },
    });
    expect(await ask("reject", { id: huge, by: "Grace", reason: "who is Eve?" })).toMatchObject({ exit: 0 });
    // Nobody decides twice, and nobody decides about what never waited.
    expect(await ask("approve", { id: huge, by: "Mallory" })).toMatchObject({
      exit: 1,
      error: { code: "ALREADY_EXISTS" },
    });
    expect(await ask("approve", { id: "nothing", by: "Mallory" })).toMatchObject({
      error: { code: "NOT_FOUND" },
    });

    expect((await ask("waiting")).payload).toEqual([]);
    expect(await made(2)).toEqual([
      { to: "Ada", amount: 20 },
      { to: "Bob", amount: 900 },
    ]);
    const rejected = await terminal(["tail", "payments.rejected", "--from", "earliest", "--limit", "1"]);
    expect(jsonLines(rejected.stdout)[0]).toMatchObject({
      payload: { to: "Eve", by: "Grace", reason: "who is Eve?" },
    });
    // Everything that was asked for has ended.
    const lag = jsonLines((await terminal(["lag"])).stdout);
    expect(
      lag.filter(({ group }) => group === "desk" || group === "bank").every(({ lag: left }) => left === 0),
    ).toBe(true);
  });
});
