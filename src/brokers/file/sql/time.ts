import { systemClock } from "../../../core/clock.ts";

/** How far apart the wall clocks of two threads or processes may be: nothing is early, and no replay misses, by any of them. */
export const CLOCKS_MS = 4;

/** The clocks of a store. Both in milliseconds. */
export interface StoreTime {
  /** The system's monotonic clock: the same for every process of one boot of one machine. */
  monotonic(): number;
  /** Epoch milliseconds. */
  wall(): number;
}

/** The machine's clocks. `process.hrtime` reads CLOCK_MONOTONIC, which processes of one machine share. */
export const machineTime: StoreTime = {
  monotonic() {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
  wall: () => systemClock.now(),
};
