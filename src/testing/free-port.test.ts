import { createServer, type Server } from "node:net";
import { afterEach, expect, it } from "vitest";
import { listenOnFreePort } from "./free-port.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

it("gives every server a port of its own, which no outgoing connection is given", async () => {
  const ports = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const server = createServer();
      servers.push(server);
      return listenOnFreePort(server);
    }),
  );
  expect(new Set(ports).size).toBe(300);
  expect(Math.min(...ports)).toBeGreaterThan(14_999);
  expect(Math.max(...ports)).toBeLessThan(32_000);
});

it("rejects with what is wrong where it is not that a port is taken", async () => {
  const server = createServer();
  servers.push(server);
  await listenOnFreePort(server);
  await expect(listenOnFreePort(server)).rejects.toMatchObject({ code: "ERR_SERVER_ALREADY_LISTEN" });
});
