import {
  repairStorage,
  verifyStorage,
  type DamagedRecord,
  type RepairReport,
  type StorageReport,
} from "../service/storage.ts";
import { failedCheck, type Check } from "./check.ts";
import { EXIT } from "./exit-codes.ts";
import { count } from "./text.ts";

/** What the look at a storage came to. */
export interface StorageChecks {
  readonly checks: readonly Check[];
  readonly exit: number;
}

const OTHERWISE = "Look at the directory and its permissions.";

/** Reads a whole storage: its log, its pages, each message. Exit code 3 when something is damaged. */
export async function checkStorage(directory: string, url: string): Promise<StorageChecks> {
  try {
    const report = await verifyStorage(directory);
    const hint = `Stop what uses it, then: herald doctor --repair --url ${url}`;
    return { checks: checksOf(report, hint), exit: report.ok ? EXIT.done : EXIT.check };
  } catch (error) {
    return { checks: [failedCheck(`storage ${directory}`, error, OTHERWISE)], exit: EXIT.check };
  }
}

/** Repairs a storage. Exit code 2 when messages were lost by what had damaged it, 3 when it is damaged still. */
export async function mendStorage(directory: string): Promise<StorageChecks> {
  try {
    const report = await repairStorage(directory);
    const checks = [
      repairCheck(report),
      ...report.lost.map((record) => lostCheck(record)),
      ...incompleteChecks(report),
    ];
    const hint = `Keep '${report.copy ?? directory}' and ask for help with it.`;
    const isLess = report.lost.length + report.incomplete.length + report.lostFrames > 0;
    const exit = isLess ? EXIT.partly : EXIT.done;
    return {
      checks: [...checks, ...checksOf(report.after, hint)],
      exit: report.after.ok ? exit : EXIT.check,
    };
  } catch (error) {
    return { checks: [failedCheck(`repair ${directory}`, error, OTHERWISE)], exit: EXIT.check };
  }
}

function checksOf(report: StorageReport, hint: string): Check[] {
  const { directory, records, damaged, structure, quarantined } = report;
  const aside =
    quarantined > 0 ? `, ${count(quarantined, "message")} put aside earlier in the table quarantine` : "";
  const sound = `${count(records, "message")} read and sound`;
  const damage = damaged.length > 0 ? `, ${damaged.length} damaged` : "";
  return [
    {
      check: `storage ${directory}`,
      ok: damaged.length === 0,
      detail: `${sound}${damage}${aside}`,
      ...(damaged.length === 0 ? {} : { hint }),
      figures: { records, damaged: damaged.length, quarantined },
    },
    logCheck(report, hint),
    ...(structure.length > 0
      ? structure.map((problem) => ({ check: "pages", ok: false, detail: problem, hint }))
      : [{ check: "pages", ok: true, detail: "every page and every counter agree" }]),
    ...damaged.map((record) => ({ ...lostCheck(record), check: "message" })),
  ];
}

function logCheck({ wal, copy }: StorageReport, hint: string): Check {
  const { state, scan, users } = wal;
  const check = "log";
  if (state === "inUse") return { check, ok: true, detail: `in use by process ${users?.join(", ")}` };
  if (scan === undefined || state === "absent") return { check, ok: true, detail: "empty" };
  const { committedFrames, tailBytes, damage } = scan;
  const frames = count(committedFrames, "committed frame");
  if (damage === undefined) {
    const tail =
      tailBytes > 0
        ? `, then ${tailBytes} bytes that a crash left unfinished and that nobody was promised`
        : "";
    return { check, ok: true, detail: `${frames}${tail}`, figures: { committedFrames, tailBytes } };
  }
  const { frame, offset, reason, committedBeyond } = damage;
  const beyond = count(committedBeyond, "committed frame");
  const kept = copy === null ? "" : `; a copy is kept as ${copy}`;
  const detail = `damaged in frame ${frame} at byte ${offset}: ${reason}, with ${beyond} at stake${kept}`;
  return { check, ok: false, detail, hint, figures: { frame, offset, committedBeyond, copy } };
}

function repairCheck({ directory, repaired, kept, lost, lostFrames, copy }: RepairReport): Check {
  const check = `repair ${directory}`;
  const figures = { kept, lost: lost.length, lostFrames, copy };
  if (!repaired) return { check, ok: true, detail: "nothing was wrong, nothing was touched", figures };
  const frames =
    lostFrames > 0 ? `, and what ${count(lostFrames, "frame")} of the log held is not known` : "";
  const detail = `${count(kept, "message")} kept, ${lost.length} lost${frames}; the damaged database is kept as ${copy}`;
  return { check, ok: true, detail, figures };
}

function lostCheck({ position, channel, reason }: DamagedRecord): Check {
  const where = channel === null ? "of a channel that cannot be read" : `of channel ${channel}`;
  return {
    check: "lost",
    ok: false,
    detail: `position ${position} ${where}: ${reason}`,
    figures: { position, channel },
  };
}

function incompleteChecks({ incomplete }: RepairReport): Check[] {
  return incomplete.map((detail) => ({ check: "lost", ok: false, detail }));
}
