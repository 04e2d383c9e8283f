import type { BrokerReport } from "../../core/broker.ts";
import { unionOfChannels } from "../shared/reports.ts";
import { isInternal } from "./handover.ts";

/** The reports of both sides as one; a side that could not be asked is undefined. */
export function mergeReports(
  primary: BrokerReport | undefined,
  fallback: BrokerReport | undefined,
  isIsolated: boolean,
): BrokerReport {
  const all = [...(primary?.channels ?? []), ...(fallback?.channels ?? [])];
  const states = [primary?.state ?? "down", fallback?.state ?? "down"];
  const isDown = states.every((state) => state === "down");
  const isUp = !isIsolated && states.every((state) => state === "up");
  return {
    state: isDown ? "down" : isUp ? "up" : "degraded",
    channels: unionOfChannels(all.filter(({ channel }) => !isInternal(channel))),
    dropped: (primary?.dropped ?? 0) + (fallback?.dropped ?? 0),
  };
}
