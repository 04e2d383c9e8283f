import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { expect, it } from "vitest";
import { birthOf } from "./birth.ts";
import { startRedis } from "./redis.ts";
import { whenRedis } from "./when.ts";

whenRedis("a server for tests", () => {
  it("dies with the process that started it, even when that is killed", async () => {
    const module = path.join(import.meta.dirname, "redis.ts");
    const program = `
      const { startRedis } = await import(${JSON.stringify(module)});
      const server = await startRedis();
      process.stdout.write(String(server.pid));
      setInterval(() => undefined, 1000);
    `;
    const parent = spawn(process.execPath, ["--input-type=module", "--eval", program]);
    const [text] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(text.toString());
    expect(birthOf(pid)).toBeDefined();
    parent.kill("SIGKILL");
    await expect.poll(() => birthOf(pid)).toBeUndefined();
  });

  it("has one birth as long as it lives, and another after a kill", async () => {
    await using server = await startRedis();
    const first = birthOf(server.pid as number);
    expect(birthOf(server.pid as number)).toBe(first);
    await server.kill();
    await server.start();
    expect(birthOf(server.pid as number)).not.toBe(first);
  });
});
