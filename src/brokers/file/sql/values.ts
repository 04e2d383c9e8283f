import type { KeptValue } from "../../../core/store.ts";
import type { ValueCommand } from "../protocol.ts";
import type { Database, Statements } from "./database.ts";

const SQL = {
  get: "SELECT value, token FROM kept_values WHERE space = ? AND key = ?",
  put: `INSERT INTO kept_values(space, key, value, token) VALUES (?, ?, ?, ?)
    ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, token = excluded.token`,
  delete: "DELETE FROM kept_values WHERE space = ? AND key = ?",
  keys: "SELECT key FROM kept_values WHERE space = ? ORDER BY key",
};

/** Small values in the store, by space and key. */
export class KeptValues {
  readonly #sql: Statements<typeof SQL>;

  constructor(db: Database) {
    this.#sql = db.prepareAll(SQL);
  }

  run(command: ValueCommand): unknown {
    switch (command.op) {
      case "valueGet":
        return this.#get(command.space, command.key);
      case "valuePut":
        return this.#put(command);
      case "valueDelete":
        return this.#delete(command);
      case "valueKeys":
        return this.#sql.keys.all(command.space).map(({ key }) => key);
    }
  }

  #get(space: string, key: string): KeptValue | undefined {
    const row = this.#sql.get.get(space, key) as unknown as KeptValue | undefined;
    return row === undefined ? undefined : { value: row.value, token: row.token };
  }

  #put(command: ValueCommand & { readonly op: "valuePut" }): string | undefined {
    const { space, key, value, token, ifToken } = command;
    if (ifToken !== undefined && (this.#get(space, key)?.token ?? null) !== ifToken) return undefined;
    this.#sql.put.run(space, key, value, token);
    return token;
  }

  #delete({ space, key, ifToken }: ValueCommand & { readonly op: "valueDelete" }): boolean {
    const known = this.#get(space, key);
    if (known === undefined || (ifToken !== undefined && known.token !== ifToken)) return false;
    this.#sql.delete.run(space, key);
    return true;
  }
}
