import { FileBroker } from "../../src/brokers/file/broker.ts";
import { Outbox } from "../../src/patterns/outbox/outbox.ts";
import { MessagingService } from "../../src/service/service.ts";
import { databaseAt, type DatabasePlace } from "./sql-databases.ts";

/** Where a relay is killed: with rows read, with messages published and their rows still there, with the rows gone. */
export const RELAY_POINTS = ["read", "published", "removed"] as const;

/** What a relay is told. `nth`: which batch it dies at. */
export interface RelayOrder {
  readonly database: DatabasePlace;
  readonly directory: string;
  readonly point: (typeof RELAY_POINTS)[number];
  readonly nth: number;
}

async function main({ database, directory, point, nth }: RelayOrder): Promise<void> {
  const own = databaseAt(database);
  let passed = 0;
  const die = (at: RelayOrder["point"]): void => {
    if (at === point && ++passed === nth) process.kill(process.pid, "SIGKILL");
  };
  const outbox = new Outbox({
    dialect: own.dialect,
    async query(sql, parameters) {
      const isRemoval = sql.startsWith("DELETE") && !sql.includes("_relay");
      if (isRemoval) die("published");
      const rows = await own.query(sql, parameters);
      if (isRemoval) die("removed");
      if (sql.startsWith("SELECT seq")) die("read");
      return rows;
    },
  });
  const service = new MessagingService({ agentId: "relay", broker: new FileBroker({ directory }) });
  await service.start();
  outbox.relay(service, { batch: 20, leaseMs: 300, pollMs: 20 }).start();
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] as string) as RelayOrder);
