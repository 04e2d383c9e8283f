import { rmSync, truncateSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { randomInt, seededRandom } from "../../src/testing/random.ts";
import { envelope } from "../support/envelopes.ts";
import { scratchFolder } from "../support/file-store.ts";
import { DiskRecorder, type Moment } from "../support/power-cut.ts";

const OPERATIONS = 1000;
const CHANNEL = "orders.created";

/** What had been acknowledged to the program at one moment. */
interface Promised {
  readonly moment: Moment;
  /** Messages published: `m-0` to `m-<published - 1>`. */
  readonly published: number;
  /** Messages that the group has acknowledged. */
  readonly acked: number;
}

let root: string;
let place: string;
let recorder: DiskRecorder;
const promised: Promised[] = [];

/** The body of a message says which one it is, so that a torn one cannot pass for another. */
function bodyOf(number: number): Buffer {
  return Buffer.alloc(40 + ((number * 53) % 500), `${number};`);
}

/** A thousand operations: publishes of one to five messages, and settlements of what was received. */
beforeAll(async () => {
  root = scratchFolder("power");
  place = path.join(root, "cut");
  const directory = path.join(root, "live");
  const broker = new FileBroker({ directory });
  await broker.open();
  recorder = new DiskRecorder(directory, path.join(root, "bases"));
  const subscription = await broker.subscribe({
    pattern: CHANNEL,
    group: "workers",
    prefetch: 10,
    from: "earliest",
  });
  let published = 0;
  let acked = 0;
  const note = (): void => void promised.push({ moment: recorder.record(), published, acked });
  note();
  for (let operation = 0; operation < OPERATIONS; operation += 1) {
    if (operation % 3 === 2) {
      const deliveries = await subscription.receive(4, 0);
      await subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
      acked += deliveries.length;
    } else {
      const batch = Array.from({ length: 1 + (operation % 5) }, (_, at) =>
        envelope({ id: `m-${published + at}`, channel: CHANNEL, body: bodyOf(published + at) }),
      );
      const results = await broker.publish(batch);
      expect(results.every(({ ok }) => ok)).toBe(true);
      published += batch.length;
    }
    note();
  }
  await broker.close();
});
afterAll(() => rmSync(root, { recursive: true }));

/** What SQLite alone reads from the storage at `place`. */
function stored(): { readonly messages: Map<string, Buffer>; readonly whole: string } {
  const sql = new DatabaseSync(path.join(place, "herald.db"), { readOnly: true });
  try {
    const rows = sql.prepare("SELECT attributes ->> '$.id' AS id, body FROM messages ORDER BY seq").all();
    const whole = String(sql.prepare("PRAGMA integrity_check").get()?.["integrity_check"]);
    return {
      messages: new Map(rows.map(({ id, body }) => [String(id), Buffer.from(body as Uint8Array)])),
      whole,
    };
  } finally {
    sql.close();
  }
}

/** Everything that was published is there as it was, and nothing else: a publish is there whole or not at all. */
function expectMessages(
  messages: ReadonlyMap<string, Buffer>,
  { published }: Promised,
  next: Promised | undefined,
): void {
  const allowed = [published, next?.published ?? published];
  expect(allowed).toContain(messages.size);
  let number = 0;
  for (const [id, body] of messages) {
    expect(id).toBe(`m-${number}`);
    expect(body.equals(bodyOf(number)), id).toBe(true);
    number += 1;
  }
}

/** What was promised when the disk was as at `moment`, and what was promised next. */
function promisedAt({ generation, bytes }: Moment): [Promised, Promised | undefined] {
  const at = promised.findLastIndex(
    ({ moment }) =>
      moment.generation < generation || (moment.generation === generation && moment.bytes <= bytes),
  );
  return [promised[Math.max(0, at)] as Promised, promised[at + 1]];
}

describe("a power cut", () => {
  it("at the end of an operation, any of a thousand, keeps all that was acknowledged, as SQLite reads it", () => {
    expect(promised).toHaveLength(OPERATIONS + 1);
    for (const [at, one] of promised.entries()) {
      if (at % 10 !== 0) continue;
      recorder.restore(one.moment, place);
      const { messages, whole } = stored();
      expect(whole).toBe("ok");
      expectMessages(messages, one, undefined);
    }
  });

  it("at any byte between keeps it too, and shows no half of what came next", () => {
    const random = seededRandom(4);
    const ends = recorder.ends;
    for (let round = 0; round < 120; round += 1) {
      const end = ends[randomInt(random, ends.length)] as Moment;
      // Before the first moment there was no storage yet.
      const from = end.generation === 0 ? (promised[0] as Promised).moment.bytes : 32;
      const moment = { ...end, bytes: from + randomInt(random, end.bytes - from) };
      recorder.restore(moment, place);
      const { messages, whole } = stored();
      expect(whole).toBe("ok");
      expectMessages(messages, ...promisedAt(moment));
    }
  });

  it("is survived by the broker: what was acknowledged is there, what was settled does not come again", async () => {
    const random = seededRandom(5);
    for (let round = 0; round < 24; round += 1) {
      const at = randomInt(random, promised.length - 1);
      const one = promised[at] as Promised;
      const next = promised[at + 1] as Promised;
      const isBetween = round % 2 === 1 && next.moment.generation === one.moment.generation;
      const bytes =
        one.moment.bytes + (isBetween ? randomInt(random, next.moment.bytes - one.moment.bytes) : 0);
      recorder.restore({ ...one.moment, bytes }, place);
      const broker = new FileBroker({ directory: place, leaseMs: 60_000 });
      await broker.open();
      const found = await broker.admin.browse(CHANNEL, { limit: 5000 });
      expectMessages(new Map(found.map(({ envelope: { id, body } }) => [id, Buffer.from(body)])), one, next);
      const subscription = await broker.subscribe({
        pattern: CHANNEL,
        group: "workers",
        prefetch: 5000,
        from: "earliest",
      });
      const wanted = found.length - one.acked;
      const again = new Set<string>();
      while (again.size < wanted) {
        const deliveries = await subscription.receive(1000, 50);
        if (deliveries.length === 0) break;
        for (const delivery of deliveries) again.add(delivery.envelope.id);
      }
      const missing = found.slice(one.acked).filter(({ envelope: { id } }) => !again.has(id));
      // Between two moments the settlement of the next operation may be on the disk already.
      expect(missing.length).toBeLessThanOrEqual(isBetween ? next.acked - one.acked : 0);
      expect(found.slice(0, one.acked).filter(({ envelope: { id } }) => again.has(id))).toEqual([]);
      await broker.close();
    }
  });
});

describe("a log cut at rest", () => {
  it("at two thousand offsets of its last 64 KiB keeps every message committed before", () => {
    const end = promised[80]?.moment as Moment;
    expect(end.bytes).toBeGreaterThan(2 * 65_536);
    recorder.restore(end, place);
    const wal = path.join(place, "herald.db-wal");
    const random = seededRandom(6);
    const cuts = Array.from({ length: 2000 }, () => end.bytes - randomInt(random, 65_536));
    for (const cut of cuts.toSorted((one, other) => other - one)) {
      truncateSync(wal, cut);
      rmSync(path.join(place, "herald.db-shm"), { force: true });
      const sql = new DatabaseSync(path.join(place, "herald.db"), { readOnly: true });
      const { n, last } = sql.prepare("SELECT count(*) AS n, max(seq) AS last FROM messages").get() as Record<
        string,
        number
      >;
      sql.close();
      const [one, next] = promisedAt({ ...end, bytes: cut });
      expect([one.published, next?.published ?? one.published], `cut at ${cut}`).toContain(n);
      expect(last).toBe(n);
    }
  });
});
