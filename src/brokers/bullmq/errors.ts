import { HeraldError, isHeraldError, showValue } from "../../core/errors.ts";
import { notOpen } from "../shared/lifecycle.ts";

/** The server cannot be asked now. */
export function notConnected(what: string, cause?: unknown): HeraldError {
  return new HeraldError("NOT_CONNECTED", `${what}.`, { cause });
}

/** The broker is not open. */
export function closed(): HeraldError {
  return notOpen("BullMQ");
}

/** The server has lost its data. */
export function forgotten(): HeraldError {
  const message =
    "Redis has forgotten its jobs and queues: it was emptied, or started without what it had acknowledged. Check appendonly and who may flush it.";
  return new HeraldError("DATA_LOSS_DETECTED", message);
}

/** BullMQ's answer that a job is not, or no longer, the asker's: its script's negative code. */
export function isNotOurs(error: unknown): boolean {
  return typeof (error as { readonly code?: unknown } | undefined)?.code === "number";
}

/** Anything that a command rejected with, as one of our errors. */
export function commandError(error: unknown): HeraldError {
  if (isHeraldError(error)) return error;
  const said = error instanceof Error ? error.message : String(error);
  if (said.startsWith("OOM "))
    return new HeraldError(
      "STORAGE_FULL",
      "Redis is out of memory: raise maxmemory, or let consumers catch up.",
      {
        cause: error,
      },
    );
  if (/^(?:MISCONF|NOREPLICAS)/.test(said))
    return new HeraldError("STORAGE_FULL", `Redis cannot keep what it is given: ${showValue(said, 200)}`, {
      cause: error,
    });
  if (said.startsWith("NOPERM"))
    return new HeraldError("FORBIDDEN", `The Redis user may not do this: ${showValue(said, 200)}`, {
      cause: error,
    });
  if (isConnectionError(error) || /^(?:READONLY|LOADING|CLUSTERDOWN|MASTERDOWN)/.test(said))
    return notConnected(
      `Redis cannot be asked now (${said.slice(0, 120)}); the connection is tried again`,
      error,
    );
  return new HeraldError("INTERNAL", `Redis refused a command: ${showValue(said, 200)}`, { cause: error });
}

/** As {@link commandError}, of a publish: one that was under way may be stored. */
export function publishError(error: unknown): HeraldError {
  const wasSent = isConnectionError(error) && nameOf(error) !== "ClientOfflineError";
  return wasSent ? unknownPublish(error) : commandError(error);
}

/** A publish whose answer did not come. */
export function unknownPublish(cause?: unknown): HeraldError {
  const message =
    "Redis did not answer a publish: the message may be stored. Publish it again with the same id and dedupe.";
  return new HeraldError("PUBLISH_UNKNOWN", message, { cause });
}

function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (/^(?:Client|Socket|Connection|Disconnects|Timeout|Reconnect)\w*Error$/.test(nameOf(error))) return true;
  return /ECONN|EPIPE|ETIMEDOUT|Socket closed|client is closed|Connection is closed/i.test(error.message);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : "";
}
