import { Column } from "./columns.ts";
import type { HistoryEvent } from "./history.ts";
import type { Tables } from "./tables.ts";
import type { Findings } from "./verdict.ts";

/** Follows a composite of brokers: each epoch has one mode and at most one drainer, and each message is handed back once. */
export class ModeRules {
  readonly #tables: Tables;
  readonly #findings: Findings;
  readonly #modes = new Map<number, string>();
  readonly #drainers = new Map<number, string>();
  readonly #drained: Column[] = [];

  constructor(tables: Tables, findings: Findings) {
    this.#tables = tables;
    this.#findings = findings;
  }

  mode({ epoch, mode }: Extract<HistoryEvent, { type: "mode" }>): void {
    const known = this.#modes.get(epoch);
    if (known === undefined) this.#modes.set(epoch, mode);
    else if (known !== mode)
      this.#findings.add("split-brain", () => `epoch ${epoch} was ${known} and ${mode}`);
  }

  drain({ epoch, id, by }: Extract<HistoryEvent, { type: "drain" }>): void {
    const drainer = this.#drainers.get(epoch);
    if (drainer === undefined) this.#drainers.set(epoch, by);
    else if (drainer !== by)
      this.#findings.add("split-brain", () => `in epoch ${epoch} both ${drainer} and ${by} handed back`);
    const { writer, counter } = this.#tables.ids.place(id);
    const drained = (this.#drained[writer] ??= Column.bytes());
    if (drained.get(counter) > 0) this.#findings.add("split-brain", () => `${id} was handed back twice`);
    drained.add(counter, 1);
  }
}
