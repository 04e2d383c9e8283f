import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FaultProxy } from "./fault-proxy.ts";

let echo: Server;
let proxy: FaultProxy;
const sockets: Socket[] = [];

beforeEach(async () => {
  echo = createServer((socket) => socket.on("error", () => undefined).pipe(socket)).listen(0, "127.0.0.1");
  await once(echo, "listening");
  proxy = await FaultProxy.start(
    { host: "127.0.0.1", port: (echo.address() as AddressInfo).port },
    () => 0.5,
  );
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await proxy[Symbol.asyncDispose]();
  await new Promise((resolve) => echo.close(resolve));
});

async function client(): Promise<{ socket: Socket; text: () => string; code: () => string | undefined }> {
  const socket = connect(proxy.address.port, "127.0.0.1").setEncoding("utf8");
  sockets.push(socket);
  let text = "";
  let code: string | undefined;
  socket.on("data", (chunk: string) => (text += chunk));
  socket.on("error", (error: NodeJS.ErrnoException) => (code = error.code));
  await once(socket, "connect");
  return { socket, text: () => text, code: () => code };
}

describe("a fault proxy", () => {
  it("passes bytes both ways while nothing is set", async () => {
    const { socket, text } = await client();
    const long = "x".repeat(3_000_000);
    socket.write(long);
    await expect.poll(() => text().length).toBe(long.length);
    socket.end();
    await once(socket, "close");
    await expect.poll(() => proxy.links).toBe(0);
  });

  it("delays each way, in order", async () => {
    proxy.set({ latencyMs: 40, jitterMs: 10 });
    const { socket, text } = await client();
    const startedAt = performance.now();
    socket.write("a");
    socket.write("b");
    await expect.poll(text, { interval: 5 }).toBe("ab");
    expect(performance.now() - startedAt).toBeGreaterThan(75);
  });

  it("keeps connections and passes nothing while it is frozen, then passes what was held", async () => {
    const { socket, text } = await client();
    proxy.set({ frozen: "toClient" });
    socket.write("held");
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(text()).toBe("");
    proxy.set({});
    await expect.poll(text).toBe("held");
  });

  it("lets through so many bytes a second, and one at a time if asked", async () => {
    proxy.set({ bytesPerSecond: 1000, sliced: true });
    const { socket, text } = await client();
    const startedAt = performance.now();
    socket.write("x".repeat(100));
    await expect.poll(() => text().length, { interval: 5 }).toBe(100);
    expect(performance.now() - startedAt).toBeGreaterThan(95);
  });

  it("resets in the middle of a reply", async () => {
    const { socket, text, code } = await client();
    socket.write("warm");
    await expect.poll(text).toBe("warm");
    proxy.resetAfter(3);
    socket.write("0123456789");
    await expect.poll(code).toBe("ECONNRESET");
    expect(text().length).toBeLessThanOrEqual(7);
  });

  it("counts those it turns away", async () => {
    proxy.set({ refuses: true });
    const turnedAway = connect(proxy.address.port, "127.0.0.1").on("error", () => undefined);
    await new Promise((resolve) => turnedAway.once("close", resolve));
    expect([proxy.accepted, proxy.links]).toEqual([1, 0]);
  });

  it("refuses connections while it is down and takes them again on the same port", async () => {
    const first = await client();
    await proxy.down();
    await expect.poll(first.code).toBe("ECONNRESET");
    await expect(client()).rejects.toThrow("ECONNREFUSED");
    await proxy.up();
    const second = await client();
    second.socket.write("back");
    await expect.poll(second.text).toBe("back");
    expect(proxy.accepted).toBe(2);
  });
});
