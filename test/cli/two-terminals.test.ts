import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifest } from "./support/fixtures.ts";
import { jsonLines } from "./support/in-process.ts";
import { Herald, herald } from "./support/spawn.ts";

let folder = "";
/** No URL: the project's own broker, in a folder that is the top of a project. */
const here = () => ({ cwd: folder, env: { HERALD_URL: "" } });

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "herald-terminals-"));
  mkdirSync(path.join(folder, ".git"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("two terminals in one project", () => {
  it("talk over the project's broker without being told of it", async () => {
    const shop = new Herald(["run", manifest("shop")], here());
    await shop.said("1 agent started: shop.");

    const asked = await herald(["request", "shop.price", '{"item":"a"}', "--json"], here());
    expect([asked.exit, jsonLines(asked.stdout)[0]]).toMatchObject([0, { target: "shop.price" }]);

    shop.process.kill("SIGINT");
    expect((await shop.ended).exit).toBe(130);
  });

  it("what is published while the agent is away waits for it", async () => {
    const first = new Herald(["run", manifest("packer"), "--until-idle", "--json"], here());
    expect((await first.ended).exit).toBe(0);

    const published = await herald(["publish", "orders.created", '{"id":7}', "--json"], here());
    expect(published.exit).toBe(0);
    expect(jsonLines((await herald(["lag", "--json"], here())).stdout)).toContainEqual(
      expect.objectContaining({ channel: "orders.created", group: "packer", lag: 1 }),
    );
    expect((await herald(["lag", "--fail-over", "0"], here())).exit).toBe(3);

    const second = await herald(["run", manifest("packer"), "--until-idle", "--json"], here());
    expect(jsonLines(second.stdout)).toContainEqual(expect.objectContaining({ type: "summary", handled: 1 }));
  });

  it("one tails what the other publishes, from the start when it is asked to", async () => {
    await herald(["publish", "orders.created", '{"id":1}'], here());
    const tail = new Herald(["tail", "orders.#", "--from", "earliest", "--limit", "2", "--json"], here());
    await tail.said("Waiting for messages");
    await herald(["publish", "orders.created", '{"id":2}'], here());
    const { exit, stdout } = await tail.ended;
    expect([exit, jsonLines(stdout).map(({ payload }) => payload)]).toEqual([0, [{ id: 1 }, { id: 2 }]]);
  });

  it("dead letters of the one are listed, sent back and purged by the other", async () => {
    const first = new Herald(["run", manifest("packer"), "--until-idle"], here());
    await first.ended;
    await herald(["publish", "orders.created", '{"id":3,"item":"bomb"}', "--no-validate"], here());
    await herald(["run", manifest("packer"), "--until-idle"], here());

    const [letter] = jsonLines((await herald(["dlq", "list", "--json"], here())).stdout);
    expect(letter).toMatchObject({ channel: "orders.created", agentId: "packer" });
    const redriven = await herald(["dlq", "redrive", "--all", "--json"], here());
    expect(jsonLines(redriven.stdout)).toEqual([{ type: "redrive", redriven: 1, deadAgain: null }]);
    expect(jsonLines((await herald(["dlq", "list", "--json"], here())).stdout)).toEqual([]);
  });

  it("a conversation that the one stops, by the id of its first message, is not handled by the other", async () => {
    const packer = new Herald(["run", manifest("packer")], here());
    await packer.said("1 agent started: packer.");
    const stopped = await herald(["conversation", "stop", "talk-1", "--json"], here());
    expect(jsonLines(stopped.stdout)).toEqual([{ type: "stop", correlationId: "talk-1", done: true }]);
    await herald(["publish", "orders.created", '{"id":1}', "--id", "talk-1"], here());
    await herald(["publish", "orders.created", '{"id":2}', "--id", "talk-2"], here());
    await expect
      .poll(async () => jsonLines((await herald(["dlq", "list", "--json"], here())).stdout), {
        timeout: 20_000,
      })
      .toEqual([expect.objectContaining({ id: "talk-1", code: "CONVERSATION_STOPPED", agentId: "packer" })]);
    const released = await herald(["conversation", "release", "talk-1"], here());
    expect([released.exit, released.stdout]).toEqual([0, expect.stringContaining("may go on")]);
    expect((await herald(["conversation", "release", "talk-1"], here())).exit).toBe(1);
    expect((await herald(["conversation", "used", "talk-1"], here())).stdout).toContain("0 messages");
    packer.process.kill("SIGINT");
    await packer.ended;
  });

  it("keep the broker's folder to themselves and out of version control", async () => {
    await herald(["publish", "orders.created", "{}"], here());
    const broker = path.join(folder, ".herald");
    expect(existsSync(broker)).toBe(true);
    expect(readFileSync(path.join(broker, ".gitignore"), "utf8")).toBe("*\n");
  });
});
