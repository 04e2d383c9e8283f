import type { Durability } from "../core/broker.ts";

const SURVIVES: Readonly<Record<Durability, string>> = {
  none: "ends with the process that holds it",
  process: "survives the kill of a process, not a crash of the system",
  os: "survives a crash of the system; a loss of power as far as the server's disk keeps its word",
  power: "survives a loss of power",
};

/** What a level of durability means, as the end of a sentence about what is acknowledged. */
export function survives(durability: Durability): string {
  return SURVIVES[durability];
}
