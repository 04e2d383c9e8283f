import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { envelope } from "../../../../test/support/envelopes.ts";
import type { EnvelopeInit } from "../../../core/envelope.ts";
import { resultOf, storedAt } from "../accepted.ts";
import { packEnvelopes } from "../pack.ts";
import { DELIVERY_STRIDE, KIND, type Answer, type Command, type Request } from "../protocol.ts";
import { checkSqliteVersion } from "./database.ts";
import { Store } from "./store.ts";

const NOTHING: Request = { commands: [], publishes: [], settles: [], wants: [] };
const LEASE_MS = 1000;
let directory: string;
let now: number;
let store: Store;

beforeEach(() => {
  directory = path.join(mkdtempSync(path.join(tmpdir(), "herald-store-")), "store");
  now = 1_700_000_000_000;
  store = opened();
});

afterEach(() => {
  store.close();
  rmSync(path.dirname(directory), { recursive: true });
});

function opened(limits: { readonly retainMs?: number } = {}): Store {
  const options = {
    directory,
    leaseMs: LEASE_MS,
    pollMs: 50,
    retainMs: 3_600_000,
    retainBytes: 2 ** 30,
    deleteProcessed: false,
    dedupeWindowMs: 1000,
    maxChannels: 10,
    ...limits,
  };
  return new Store(options, { monotonic: () => now, wall: () => now });
}

function reopen(limits: { readonly retainMs?: number } = {}): void {
  store.close();
  store = opened(limits);
}

const ask = (command: Command) => store.turn([{ ...NOTHING, commands: [{ call: 1, command }] }]).results[0];
const subscribe = (member: number, pattern = "c", group: string | null = "g") =>
  ask({ op: "subscribe", member, client: 1, pattern, group, strict: false, from: "new" });
/** What this process has published, by position: the store need not say it again. */
const published = new Map<number, string>();
function publish(...inits: Partial<EnvelopeInit>[]): Answer {
  const envelopes = inits.map(envelope);
  const answer = store.turn([{ ...NOTHING, publishes: [packEnvelopes(envelopes, false)] }]);
  const [block] = answer.publishes;
  for (const [i, { id }] of envelopes.entries())
    if (block !== undefined) published.set(storedAt(block, i), id);
  return answer;
}

interface Got {
  readonly id: string;
  readonly seq: number;
  readonly ref: number;
  readonly attempt: number;
}

function receive(member: number, limit = 10): Got[] {
  const { deliveries } = store.turn([{ ...NOTHING, wants: [member, limit, 1] }]);
  if (deliveries === undefined) return [];
  const seqAt = (at: number) => deliveries.numbers[at * DELIVERY_STRIDE + 1] as number;
  return deliveries.heads.split("\n").map((head, at) => ({
    id: head === "" ? String(published.get(seqAt(at))) : (JSON.parse(head) as { id: string }).id,
    seq: seqAt(at),
    ref: deliveries.numbers[at * DELIVERY_STRIDE + 2] as number,
    attempt: deliveries.numbers[at * DELIVERY_STRIDE + 3] as number,
  }));
}

function settle(member: number, kind: keyof typeof KIND, got: readonly Got[]): Answer {
  const numbers = Float64Array.from(got.flatMap(({ ref, seq }) => [KIND[kind], ref, seq, 0]));
  return store.turn([{ ...NOTHING, settles: [{ member, numbers, failures: null }] }]);
}

const idsOf = (got: readonly Got[]): string[] => got.map(({ id, attempt }) => `${id}#${attempt}`);

/** Every lease ends, as when the process of the holder hangs. */
function loseLeases(): void {
  now += LEASE_MS + 1;
  store.keepHouse();
}

function withDatabase<T>(run: (sql: DatabaseSync) => T): T {
  const sql = new DatabaseSync(path.join(directory, "herald.db"));
  try {
    return run(sql);
  } finally {
    sql.close();
  }
}

describe("a store", () => {
  it("hands out alone what two holders have lost, and nothing beside it until it is settled", () => {
    subscribe(1);
    publish({ id: "a" }, { id: "b" });
    expect(idsOf(receive(1))).toEqual(["a#1", "b#1"]);
    loseLeases();
    expect(idsOf(receive(1))).toEqual(["a#2", "b#2"]);
    loseLeases();
    publish({ id: "fresh" });

    const alone = receive(1);
    expect(idsOf(alone)).toEqual(["a#3"]);
    expect(receive(1)).toEqual([]);
    settle(1, "ack", alone);
    const next = receive(1);
    expect(idsOf(next)).toEqual(["b#3"]);
    settle(1, "ack", next);
    expect(idsOf(receive(1))).toEqual(["fresh#1"]);
  });

  it("knows after a restart when the delayed messages of a group are due", () => {
    subscribe(1);
    publish({ id: "later", deliverAt: now + 500 });
    receive(1);
    reopen();
    subscribe(2);
    store.turn([{ ...NOTHING, wants: [2, 10, 0] }]);

    expect(store.nextMs).toBeGreaterThan(400);
    now += 600;
    expect(store.look()?.deliveries?.members).toEqual([2]);
  });

  it("ignores a settlement of what another was given since", () => {
    subscribe(1);
    subscribe(2);
    publish({ id: "a" });
    const first = receive(1);
    loseLeases();
    const second = receive(2);
    settle(1, "ack", first);
    settle(2, "nack", second);

    expect(idsOf(receive(1))).toEqual(["a#3"]);
  });

  it("deletes what is old and acknowledged, and never what a group has not acknowledged", () => {
    reopen({ retainMs: 100 });
    subscribe(1);
    subscribe(2, "c", "away");
    publish({ id: "a" }, { id: "b" });
    settle(1, "ack", receive(1));
    now += 200;
    store.keepHouse();
    const count = () => {
      const browsed = ask({ op: "browse", channel: "c", after: 0, limit: 10 });
      return (browsed?.value as unknown[] | undefined)?.length;
    };
    expect(count()).toBe(2);

    settle(2, "ack", receive(2, 1));
    store.keepHouse();
    expect(count()).toBe(1);
    settle(2, "ack", receive(2));
    store.keepHouse();
    expect(count()).toBe(0);
    expect(ask({ op: "inspect", channels: ["c"] })?.value).toEqual([
      {
        channel: "c",
        depth: 0,
        groups: [
          { group: "g", lag: 0, unsettled: 0 },
          { group: "away", lag: 0, unsettled: 0 },
        ],
      },
    ]);
  });

  it("puts aside a message that is not what was written, says so, and serves the next", () => {
    subscribe(1);
    publish({ id: "a" }, { id: "b" });
    reopen();
    withDatabase((sql) => sql.exec("UPDATE messages SET body = x'00' WHERE seq = 1"));
    subscribe(1);
    const answer = store.turn([{ ...NOTHING, wants: [1, 10, 1] }]);

    expect(answer.deliveries?.heads).toContain('"id":"b"');
    expect(answer.notices).toMatchObject([
      {
        event: "dataLost",
        channel: "c",
        count: 1,
        error: { code: "STORAGE_CORRUPT", details: { position: "1" } },
      },
    ]);
    expect(withDatabase((sql) => sql.prepare("SELECT seq FROM quarantine").all())).toMatchObject([
      { seq: 1 },
    ]);
  });

  it("keeps what was stored when its process goes, and the turn of those who held something", () => {
    subscribe(1);
    publish({ id: "a" }, { id: "b" });
    receive(1, 1);
    reopen();
    subscribe(1);

    expect(idsOf(receive(1))).toEqual(["a#2", "b#1"]);
  });

  it("refuses a channel too many and stores the others", () => {
    const names = Array.from({ length: 12 }, (_none, at) => ({ channel: `n${at}` }));
    const [answer] = publish(...names).publishes;
    const results = names.map((_name, at) => (answer === undefined ? undefined : resultOf(answer, at)));

    const codes = results.flatMap((result) => (result?.ok === false ? [result.error.code] : []));
    expect(codes).toEqual(["OVERLOADED", "OVERLOADED"]);
    expect(results.filter((result) => result?.ok === true)).toHaveLength(10);
  });

  it("knows that its folder is gone, and stores nothing more", () => {
    publish({ id: "a" });
    rmSync(directory, { recursive: true });

    expect(publish({ id: "b" }).error?.code).toBe("STORAGE_GONE");
    expect(publish({ id: "c" }).error?.code).toBe("STORAGE_GONE");
  });
});

describe("the version of SQLite", () => {
  it.each(["3.51.3", "3.53.4", "3.50.7", "3.44.6", "4.0.0"])("%s is taken", (version) => {
    expect(() => checkSqliteVersion(version)).not.toThrow();
  });

  it.each(["3.51.2", "3.50.6", "3.44.5", "3.46.1", "3.7.0"])("%s is refused by name", (version) => {
    expect(() => checkSqliteVersion(version)).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining(version) as string }),
    );
  });
});
