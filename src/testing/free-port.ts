import { randomInt } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";

/**
 * Below what systems give to outgoing connections (Linux from 32768, others from 49152; RFC 6335): a port that is free while its
 * server is down is not taken by a client in the meantime.
 */
const FIRST = 15_000;
const END = 32_000;
const TRIES = 50;

/** Listens on a free port of loopback; resolves to it. Rejects where none is found. */
export async function listenOnFreePort(server: Server): Promise<number> {
  for (let tries = 1; ; tries++) {
    server.listen(randomInt(FIRST, END), "127.0.0.1");
    try {
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || tries === TRIES) throw error;
    }
  }
}
