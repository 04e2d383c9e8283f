import { mkdirSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { envelope } from "../support/envelopes.ts";
import { RedisBench } from "../support/redis.ts";
import { ack, idsOf, take, until } from "../support/taking.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";
import { whenRedis } from "../support/servers/when.ts";
import { smallDisk, type SmallDisk } from "../support/small-disk.ts";

const made = smallDisk(16);
const reason = "why" in made ? ` [skipped: ${made.why}]` : "";
const BODY = new Uint8Array(4096).fill(120);

whenRedis("a Redis whose disk is full", () => {
  describe.skipIf("why" in made)(`on a small disk${reason}`, () => {
    const bench = new RedisBench();
    let disk: SmallDisk;
    let server: TestServer;
    beforeAll(() => {
      disk = made as SmallDisk;
    });
    afterEach(async () => {
      await disk.free();
      await bench.cleanUp();
      await server.stop();
    });
    afterAll(() => disk.release());

    async function started(appendfsync: "always" | "everysec"): Promise<RedisBroker> {
      const folder = path.join(disk.folder, appendfsync);
      mkdirSync(folder);
      server = await startRedis({ folder, appendfsync });
      return bench.opened({ url: server.url, maxReconnectMs: 100 });
    }

    /** Publishes one after another until one is refused; the ids of those before it, and its code. */
    async function untilRefused(broker: RedisBroker): Promise<{ acked: string[]; code: string }> {
      const acked: string[] = [];
      for (let n = 0; n < 10_000; n++) {
        const one = envelope({ id: `m-${n}`, channel: "c", body: BODY });
        const [result] = await broker.publish([one]);
        if (result?.ok !== true) return { acked, code: result?.error.code ?? "none" };
        acked.push(one.id);
      }
      throw new Error("Nothing was refused.");
    }

    async function everything(broker: RedisBroker, count: number): Promise<string[]> {
      const subscription = await broker.subscribe({
        pattern: "c",
        group: "late",
        prefetch: count + 1,
        from: "earliest",
      });
      const got: string[] = [];
      while (got.length < count) {
        const deliveries = await take(subscription, 1);
        got.push(...idsOf(deliveries));
        await ack(subscription, deliveries);
      }
      return got;
    }

    it("refuses by name with a log that is synced every second, and goes on when there is room", async () => {
      const broker = await started("everysec");
      await disk.fill();
      const { acked, code } = await untilRefused(broker);
      expect(code).toBe("STORAGE_FULL");

      await disk.free();
      await until(async () => {
        const [result] = await broker.publish([envelope({ id: "after", channel: "c", body: BODY })]);
        return result?.ok === true;
      });
      const got = await everything(broker, acked.length + 1);
      expect(new Set(got)).toEqual(new Set([...acked, "after"]));
    });

    it("ends with a log that is always synced, and has everything it acknowledged when it is started again", async () => {
      const broker = await started("always");
      await disk.fill();
      const { acked, code } = await untilRefused(broker);
      expect(["STORAGE_FULL", "PUBLISH_UNKNOWN", "NOT_CONNECTED"]).toContain(code);

      await disk.free();
      // It has ended by itself; this waits until it has.
      await server.kill();
      await server.start();
      await until(async () => broker.isConnected);
      // What was refused as unknown may be there too.
      const got = await everything(broker, acked.length);
      expect(acked.filter((id) => !got.includes(id))).toEqual([]);
    });
  });
});
