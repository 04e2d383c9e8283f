import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData, type MessagePort } from "node:worker_threads";

/** Copies the log into the database whenever it is told to, and says whether it has. It keeps no file open meanwhile. */
const port = parentPort as MessagePort;

port.on("message", (message: "copy" | "close") => {
  if (message === "close") port.close();
  else port.postMessage(copy() ? "copied" : "failed", []);
});

function copy(): boolean {
  let sql: DatabaseSync | undefined;
  try {
    sql = new DatabaseSync(workerData as string, { enableForeignKeyConstraints: false });
    sql.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 0");
    const checkpoint = sql.prepare("PRAGMA wal_checkpoint(PASSIVE)");
    checkpoint.get();
    // What was written meanwhile: the less is left, the shorter the last step.
    checkpoint.get();
    return true;
  } catch {
    return false;
  } finally {
    if (sql?.isOpen === true) sql.close();
  }
}
