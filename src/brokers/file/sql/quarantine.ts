import { crc32 } from "node:zlib";
import type { Notice } from "../protocol.ts";
import type { Cursors } from "./cursors.ts";
import type { Database, Statements } from "./database.ts";
import type { MessageRow } from "./deliveries.ts";
import type { Group, Lane } from "./model.ts";

const SQL = {
  keep: "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
  delete: "DELETE FROM messages WHERE seq = ?",
  exceptions: "DELETE FROM exceptions WHERE seq = ?",
  held: "UPDATE lanes SET held = held - 1 WHERE id = ?",
};

/** The columns that a message's checksum covers: all but the checksum. */
export type Covered = Omit<MessageRow, "crc">;

/** The checksum that is stored with a message: over what it says, and over where and when it belongs. */
export function checksum(row: Covered, laneId: number): number {
  const { attributes, headers, body, partition_key: key } = row;
  const place = placeSum(row, laneId);
  const keyed = key === null ? place : crc32(key, place);
  const head = headers === null ? crc32(attributes, keyed) : crc32(headers, crc32(attributes, keyed));
  return crc32(body, head);
}

/** Odd factors: one bit turned in one of the numbers changes the sum. */
function placeSum({ seq, stored_at, deliver_at }: Covered, laneId: number): number {
  const time = Math.imul(low(stored_at), 0x85ebca6b) + Math.imul(high(stored_at), 0xc2b2ae35);
  const later = deliver_at === null ? 0 : Math.imul(low(deliver_at), 0x27d4eb2f) + high(deliver_at) + 1;
  return (Math.imul(low(seq), 0x9e3779b1) + high(seq) + Math.imul(laneId, 0x165667b1) + time + later) >>> 0;
}

function low(value: number): number {
  return value | 0;
}

function high(value: number): number {
  return (value / 2 ** 32) | 0;
}

/** True when a message is what was written. One that another tool wrote carries no checksum. */
export function isIntact(row: MessageRow, laneId: number): boolean {
  return row.crc === null || (row.body instanceof Uint8Array && checksum(row, laneId) === row.crc);
}

/** Puts aside what cannot be trusted, and says so: it is never skipped in silence. */
export class Quarantine {
  readonly notices: Notice[] = [];
  readonly #sql: Statements<typeof SQL>;
  readonly #cursors: Cursors;
  readonly #directory: string;

  constructor(db: Database, cursors: Cursors) {
    this.#sql = db.prepareAll(SQL);
    this.#cursors = cursors;
    this.#directory = db.directory;
    if (db.tailRepaired > 0) this.notices.push(tailRepaired(db));
    for (const found of db.miscounts) this.notices.push(miscount(db, found));
  }

  /** Moves a message away. `finder`: the group whose reading met it, and passes it itself. */
  put(lane: Lane, row: MessageRow, now: number, finder: Group | undefined): void {
    const { name } = lane.channel;
    const reason = "its checksum differs";
    this.#sql.keep.run(
      row.seq,
      name,
      lane.priority,
      now,
      reason,
      row.attributes,
      row.headers,
      row.body,
      row.crc,
    );
    this.#sql.delete.run(row.seq);
    this.#sql.exceptions.run(row.seq);
    this.#sql.held.run(lane.id);
    this.#cursors.erased(lane, row.seq, finder);
    const message = `The message at position ${row.seq} of channel '${name}' in '${this.#directory}' is not what was written (${reason}): it was moved to the table quarantine. Look for a failing disk, and publish it again if you can.`;
    const details = { directory: this.#directory, channel: name, position: String(row.seq) };
    this.notices.push({
      event: "dataLost",
      channel: name,
      count: 1,
      error: { code: "STORAGE_CORRUPT", message, details },
    });
  }

  /** A group has come to the end of a lane with `missing` messages less than were written, or more if that is negative. */
  miscounted({ channel }: Lane, group: Group, missing: number): void {
    const what = missing > 0 ? `${missing} messages are missing` : `${-missing} messages were read again`;
    const message = `For group '${group.name ?? ""}' ${what} in channel '${channel.name}' of '${this.#directory}': its counters, or an index, are damaged. Stop its processes and run: herald doctor --repair --url file:${this.#directory}`;
    const details = { directory: this.#directory, channel: channel.name, group: group.name, missing };
    const error = { code: "STORAGE_CORRUPT", message, details };
    const event = missing > 0 ? "dataLost" : "fault";
    this.notices.push({ event, channel: channel.name, count: Math.max(0, missing), error });
  }
}

/** No loss, but not a thing to be silent about. */
function tailRepaired({ directory, tailRepaired: bytes }: Database): Notice {
  const message = `The log of the store in '${directory}' ended with ${bytes} bytes of a transaction that was never finished, as a crash leaves it: they were dropped. No publish in them was acknowledged.`;
  const error = { code: "TAIL_REPAIRED", message, details: { directory, bytes } };
  return { event: "fault", channel: null, count: null, error };
}

function miscount({ directory }: Database, found: string): Notice {
  const message = `In the store '${directory}' ${found}: a page is damaged. Stop its processes and run: herald doctor --repair --url file:${directory}`;
  return {
    event: "fault",
    channel: null,
    count: null,
    error: { code: "STORAGE_CORRUPT", message, details: { directory } },
  };
}
