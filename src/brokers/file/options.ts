import { MAX_CHANNEL_BYTES } from "../../core/limits.ts";
import { OptionCheck } from "../shared/option-check.ts";

/** Options of the file broker; all optional. */
export interface FileBrokerOptions {
  /** The folder of the store: made when it is not there, with access for its owner only. Default `.herald`. */
  readonly directory?: string;
  /** The folder, under the name that the PR-013 document gives it. */
  readonly fileMessagingDir?: string;
  /** How often another process's writes are looked for at least, should the watch on the folder miss one. Default 50. */
  readonly pollingInterval?: number;
  /** Deletes what every group has acknowledged at once, so that nothing is replayed. Default false. */
  readonly deleteProcessedMessages?: boolean;
  /** How long what every group has acknowledged is kept for replay, milliseconds. Default 3,600,000. */
  readonly messageMaxAge?: number;
  /** Bytes that the store may take with messages kept for replay; what a group has not acknowledged is never deleted for it. Default 256 MiB. */
  readonly maxBytes?: number;
  /** A delivery that is neither settled nor extended for this long goes to another consumer. Default 30,000. */
  readonly leaseMs?: number;
  /** How long an id is recognised when it is published again with `dedupe`. Default 3,600,000. */
  readonly dedupeWindowMs?: number;
  /** Default 16 MiB. */
  readonly maxBodyBytes?: number;
  /** Most channels. Default 100,000; one more is `OVERLOADED`. */
  readonly maxChannels?: number;
}

/** Options with every default filled in. */
export interface FileSettings {
  readonly directory: string;
  readonly pollMs: number;
  readonly deleteProcessed: boolean;
  readonly retainMs: number;
  readonly retainBytes: number;
  readonly leaseMs: number;
  readonly dedupeWindowMs: number;
  readonly maxBodyBytes: number;
  readonly maxChannels: number;
}

const check = new OptionCheck("File", MAX_CHANNEL_BYTES);
const MAX_BODY_BYTES = 512 * 1024 * 1024;

/** Checks the options and fills in the defaults. Rejects with `INVALID_ARGUMENT` naming the field. */
export function fileSettings(options: FileBrokerOptions): FileSettings {
  const { directory, fileMessagingDir, deleteProcessedMessages = false } = options;
  if (directory !== undefined && fileMessagingDir !== undefined && directory !== fileMessagingDir)
    throw check.wrong("fileMessagingDir", "left out where directory is given", fileMessagingDir);
  const folder = directory ?? fileMessagingDir ?? ".herald";
  const field = directory === undefined ? "fileMessagingDir" : "directory";
  if (typeof folder !== "string" || folder === "" || folder.includes("\0"))
    throw check.wrong(field, "the path of a folder", folder);
  if (typeof deleteProcessedMessages !== "boolean")
    throw check.wrong("deleteProcessedMessages", "true or false", deleteProcessedMessages);
  const number = (
    name: keyof FileBrokerOptions,
    fallback: number,
    least: number,
    most = Infinity,
  ): number => {
    const value: unknown = options[name] ?? fallback;
    if (typeof value === "number" && value >= least && value <= most) return value;
    throw check.wrong(
      name,
      `a number of ${least} or more${most === Infinity ? "" : ` up to ${most}`}`,
      value,
    );
  };
  return {
    directory: folder,
    pollMs: number("pollingInterval", 50, 1, 2 ** 31 - 1),
    deleteProcessed: deleteProcessedMessages,
    retainMs: number("messageMaxAge", 3_600_000, 0),
    retainBytes: number("maxBytes", 256 * 1024 * 1024, 0),
    leaseMs: number("leaseMs", 30_000, 10),
    dedupeWindowMs: number("dedupeWindowMs", 3_600_000, 0),
    maxBodyBytes: number("maxBodyBytes", 16 * 1024 * 1024, 1, MAX_BODY_BYTES),
    maxChannels: number("maxChannels", 100_000, 1),
  };
}
