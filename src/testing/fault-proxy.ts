import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Address, ServerControl } from "./conformance/harness.ts";
import { listenOnFreePort } from "./free-port.ts";
import type { Random } from "./random.ts";

/** Which way bytes flow. `both` where either way is meant. */
export type Way = "toServer" | "toClient" | "both";

/** What the link does to bytes. Everything absent: nothing. */
export interface Weather {
  /** Each piece comes this much later, in order. */
  readonly latencyMs?: number;
  /** Up to so much more or less, by chance. */
  readonly jitterMs?: number;
  readonly bytesPerSecond?: number;
  /** Bytes come one at a time. */
  readonly sliced?: boolean;
  /** Connections stay, and nothing passes this way. */
  readonly frozen?: Way;
  /** New connections are accepted, counted and reset. */
  readonly refuses?: boolean;
}

// A side that is not read is not read from either.
const MAX_QUEUED_BYTES = 1_048_576;

/**
 * A TCP proxy on loopback that spoils what passes: put it between a client and its server. Everything can be changed while
 * it runs, for links that stand and for those to come. What is held back while the weather is bad is not lost when it clears.
 */
export class FaultProxy {
  readonly address: Address;
  readonly #target: Address;
  readonly #random: Random;
  readonly #links = new Set<Link>();
  #server: Server | undefined;
  #weather: Weather = {};
  #accepted = 0;

  private constructor(target: Address, server: Server, random: Random) {
    this.#target = target;
    this.#server = server;
    this.#random = random;
    this.address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
    server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  /** Listens on a free port. */
  static async start(target: Address, random: Random = Math.random): Promise<FaultProxy> {
    return new FaultProxy(target, await listening(), random);
  }

  /**
   * Stands between a server and its clients: where the server says that something must, or else on a free port. Rejects
   * when that place is taken.
   */
  static async before(
    { address, proxied }: Pick<ServerControl, "address" | "proxied">,
    random: Random = Math.random,
  ): Promise<FaultProxy> {
    const server = await listening(proxied?.address.port);
    return new FaultProxy(proxied?.target ?? address, server, random);
  }

  /** Links that stand. */
  get links(): number {
    return this.#links.size;
  }

  /** Connections that were accepted so far. */
  get accepted(): number {
    return this.#accepted;
  }

  /** From now on the link is so, until the next call. `{}` heals it. */
  set(weather: Weather): void {
    this.#weather = weather;
    for (const link of this.#links) link.turn();
  }

  /** Resets every link that stands, at once. */
  reset(): void {
    for (const link of this.#links) link.reset();
  }

  /** Resets each link after so many bytes more from the server, in the middle of a reply as likely as not. */
  resetAfter(bytes: number): void {
    for (const link of this.#links) link.resetAfter(bytes);
  }

  /** Refuses connections and resets those that stand. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise((resolve) =>
      server === undefined ? resolve(undefined) : server.close(resolve),
    );
    this.reset();
    await closed;
  }

  /** Accepts connections again, on the same port. */
  async up(): Promise<void> {
    if (this.#server !== undefined) return;
    this.#server = await listening(this.address.port);
    this.#server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  #accept(client: Socket): void {
    this.#accepted++;
    // A connection may have been taken from the queue just before the proxy went down.
    if (this.#weather.refuses === true || this.#server === undefined) {
      client.on("error", () => undefined).resetAndDestroy();
      return;
    }
    const link: Link = new Link(client, connect(this.#target.port, this.#target.host), {
      weather: () => this.#weather,
      random: this.#random,
      ended: () => void this.#links.delete(link),
    });
    this.#links.add(link);
  }
}

interface Surroundings {
  readonly weather: () => Weather;
  readonly random: Random;
  readonly ended: () => void;
}

/** Two sockets, one stream each way. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #streams: readonly [Stream, Stream];

  constructor(client: Socket, server: Socket, around: Surroundings) {
    this.#client = client;
    this.#server = server;
    this.#streams = [
      new Stream(client, server, "toServer", around),
      new Stream(server, client, "toClient", around),
    ];
    for (const socket of [client, server]) {
      socket.setNoDelay(true).on("error", () => this.reset());
      socket.on("close", () => {
        around.ended();
        this.reset();
      });
    }
  }

  turn(): void {
    for (const stream of this.#streams) stream.pump();
  }

  reset(): void {
    for (const stream of this.#streams) stream.stop();
    for (const socket of [this.#client, this.#server]) if (!socket.destroyed) socket.resetAndDestroy();
  }

  resetAfter(bytes: number): void {
    this.#streams[1].cutAfter(bytes, () => this.reset());
  }
}

interface Piece {
  readonly bytes: Buffer;
  readonly dueAt: number;
}

/** Bytes on their way from one socket to the other. */
class Stream {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #way: Way;
  readonly #around: Surroundings;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #lastDueAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #bytesLeft = Infinity;
  #cut: (() => void) | undefined;
  #hasEnded = false;

  constructor(from: Socket, to: Socket, way: Way, around: Surroundings) {
    this.#from = from;
    this.#to = to;
    this.#way = way;
    this.#around = around;
    from.on("data", (bytes: Buffer) => this.#take(bytes));
    from.on("end", () => {
      this.#hasEnded = true;
      this.pump();
    });
    to.on("drain", () => from.resume());
  }

  cutAfter(bytes: number, cut: () => void): void {
    this.#bytesLeft = bytes;
    this.#cut = cut;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  /** Sends on what is due, and comes back for the rest. */
  pump(): void {
    clearTimeout(this.#timer);
    const { frozen } = this.#around.weather();
    if (frozen === "both" || frozen === this.#way) return;
    const now = performance.now();
    for (let next = this.#queue[0]; next !== undefined && next.dueAt <= now; next = this.#queue[0]) {
      this.#queue.shift();
      this.#send(next.bytes);
    }
    const [next] = this.#queue;
    if (next !== undefined) this.#timer = setTimeout(() => this.pump(), Math.ceil(next.dueAt - now));
    else if (this.#hasEnded && !this.#to.destroyed) this.#to.end();
    if (this.#queuedBytes < MAX_QUEUED_BYTES && !this.#to.writableNeedDrain) this.#from.resume();
  }

  #take(bytes: Buffer): void {
    const { latencyMs = 0, jitterMs = 0, bytesPerSecond = Infinity, sliced } = this.#around.weather();
    const now = performance.now();
    const arrivesAt = now + Math.max(0, latencyMs + (2 * this.#around.random() - 1) * jitterMs);
    const pieces = sliced === true ? Array.from(bytes, (byte) => Buffer.of(byte)) : [bytes];
    for (const piece of pieces) {
      this.#lastDueAt = Math.max(arrivesAt, this.#lastDueAt) + (piece.length / bytesPerSecond) * 1000;
      this.#queue.push({ bytes: piece, dueAt: this.#lastDueAt });
    }
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes >= MAX_QUEUED_BYTES) this.#from.pause();
    this.pump();
  }

  #send(bytes: Buffer): void {
    this.#queuedBytes -= bytes.length;
    if (this.#to.destroyed) return;
    const passed = bytes.subarray(0, this.#bytesLeft);
    this.#bytesLeft -= passed.length;
    if (!this.#to.write(passed)) this.#from.pause();
    if (this.#bytesLeft <= 0 && this.#cut !== undefined) this.#cut();
  }
}

async function listening(port?: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  if (port === undefined) await listenOnFreePort(server);
  else await once(server.listen(port, "127.0.0.1"), "listening");
  return server;
}
