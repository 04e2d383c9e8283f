import { existsSync } from "node:fs";
import { expect, it } from "vitest";
import { startRedisCluster } from "./redis-cluster.ts";
import { startRedisSentinels } from "./redis-sentinel.ts";
import { startRedis } from "./redis.ts";
import { whenRedis } from "./when.ts";

whenRedis("a Redis for tests", () => {
  it("keeps what it acknowledged through a kill, on the same port, and leaves nothing behind", async () => {
    const server = await startRedis();
    await server.command("SET", "name", "kept");
    await server.kill();
    expect(server.pid).toBeUndefined();
    await server.start();
    expect(await server.command("GET", "name")).toBe("kept");
    await server.stop();
    expect(existsSync(server.folder)).toBe(false);
    await expect(server.command("PING")).rejects.toThrow("ECONNREFUSED");
  });

  it("forgets everything through a kill when it keeps no log", async () => {
    await using server = await startRedis({ appendonly: false });
    await server.command("SET", "name", "lost");
    await server.kill();
    await server.start();
    expect(await server.command("GET", "name")).toBeNull();
  });

  it("answers nothing while it is paused, and goes on afterwards", async () => {
    await using server = await startRedis();
    await server.pause();
    let isAnswered = false;
    const answer = server.command("PING").finally(() => (isAnswered = true));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isAnswered).toBe(false);
    await server.resume();
    expect(await answer).toBe("PONG");
  });

  it("says why it does not start", async () => {
    await expect(startRedis({ config: { "no-such-directive": "1" } })).rejects.toThrow("no-such-directive");
  });

  it("comes as a cluster of three that holds every slot", async () => {
    await using cluster = await startRedisCluster();
    const slots = await Promise.all(cluster.nodes.map((node) => node.command("CLUSTER", "INFO")));
    for (const info of slots) expect(info).toContain("cluster_slots_ok:16384");
  });

  it("comes with three Sentinels that make the replica the primary when the primary dies", async () => {
    await using sentinels = await startRedisSentinels();
    await sentinels.primary.kill();
    const role = async () => ((await sentinels.replica.command("ROLE")) as readonly unknown[])[0];
    await expect.poll(role).toBe("master");
  });
});
