import { connect, type Socket } from "node:net";
import type { Address } from "../../../src/testing/conformance/harness.ts";

/**
 * Writes to a server, of which a port alone is one on loopback, over a connection of its own, and hands all that came back to `read` until that returns
 * something. Rejects when the server cannot be reached, hangs up, or says nothing that `read` can take in time.
 */
export function exchange<T>(
  at: number | Address,
  send: string | Buffer,
  read: (received: Buffer) => T | undefined,
  timeoutMs = 5000,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const { host, port } = typeof at === "number" ? { host: "127.0.0.1", port: at } : at;
    const socket: Socket = connect(port, host);
    let received: Buffer = Buffer.alloc(0);
    const timer = setTimeout(
      () => socket.destroy(new Error(`Port ${port} did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    socket.on("error", reject).on("close", () => {
      clearTimeout(timer);
      reject(new Error(`Port ${port} hung up.`));
    });
    socket.on("connect", () => socket.write(send));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      try {
        const answer = read(received);
        if (answer === undefined) return;
        resolve(answer);
        socket.destroy();
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
  });
}
