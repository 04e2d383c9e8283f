import type { ProcessRun } from "../../../src/testing/process/run.ts";
import type { Slot } from "../../../src/testing/process/slot.ts";
import { randomInt, type Random } from "../../../src/testing/random.ts";
import type { FaultProxy, Weather } from "../../../src/testing/fault-proxy.ts";
import type { Side, TestHost } from "../servers/hosts.ts";
import type { DiskControl, ServerControl } from "../../../src/testing/conformance/harness.ts";

/** What a fault strikes with. */
export interface Striking {
  readonly run: ProcessRun;
  readonly random: Random;
}

/** One way to hurt a run; it is over when `strike` resolves. */
export interface Fault {
  /** With the number that the fault matrix gives it. */
  readonly name: string;
  strike(striking: Striking): Promise<void>;
}

export const KILL_SERVER = "F4 server killed";
export const KILL_CLIENT = "F1-F3 client killed";
export const FLAP = "F26 link down and up";

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const between = (random: Random, least: number, most: number) => least + randomInt(random, most - least);

/** Somebody who stands, or nobody for now. */
function standing(slots: readonly Slot[], random: Random): Slot | undefined {
  const filled = slots.filter(({ member }) => member !== undefined);
  return filled[randomInt(random, filled.length)];
}

/** SIGKILL at a moment that nobody chose. */
export const killClient: Fault = {
  name: KILL_CLIENT,
  async strike({ run, random }) {
    await sleep(between(random, 1, 40));
    await standing(run.slots, random)?.kill();
  },
};

/** Held for longer than a lease, then let go: what it still settles is settled too late. */
export const pauseClient: Fault = {
  name: "F15 consumer held past its lease",
  async strike({ run, random }) {
    const member = standing(run.consumers, random)?.member;
    member?.child.signal("SIGSTOP");
    await sleep(between(random, 300, 2500));
    member?.child.signal("SIGCONT");
  },
};

/** Asked to stop under load: it ends in time and takes nothing with it. */
export const stopClient: Fault = {
  name: "F27 SIGTERM under load",
  async strike({ run, random }) {
    await standing(run.slots, random)?.member?.stop();
  },
};

/** What can be done to a server. */
export function serverFaults(
  server: Pick<ServerControl, "kill" | "start" | "pause" | "resume">,
): readonly Fault[] {
  return [
    {
      name: KILL_SERVER,
      async strike({ random }) {
        await server.kill();
        await sleep(between(random, 0, 300));
        await server.start();
      },
    },
    {
      name: "F5 server paused",
      async strike({ random }) {
        await server.pause();
        await sleep(between(random, 100, 3000));
        await server.resume();
      },
    },
  ];
}

/** What can be done to a link. */
export function linkFaults(proxy: FaultProxy): readonly Fault[] {
  const during = (name: string, weather: Weather, least: number, most: number): Fault => ({
    name,
    async strike({ random }) {
      proxy.set(weather);
      await sleep(between(random, least, most));
      proxy.set({});
    },
  });
  return [
    {
      name: "F6 reset in the middle of a reply",
      async strike({ random }) {
        proxy.resetAfter(between(random, 1, 4000));
        await sleep(between(random, 20, 200));
        proxy.reset();
      },
    },
    during("F7 half-open, both ways", { frozen: "both" }, 200, 3000),
    during("F7 half-open, replies held", { frozen: "toClient" }, 200, 2000),
    during("F8 slow: 200 ms +- 100", { latencyMs: 200, jitterMs: 100 }, 500, 2000),
    during("F8 slow: 64 kbit/s", { bytesPerSecond: 8000 }, 500, 1500),
    during("F8 one byte at a time", { sliced: true }, 200, 500),
    {
      name: "F22 everybody cut off, let in again",
      async strike({ random }) {
        await proxy.down();
        await sleep(between(random, 500, 2000));
        await proxy.up();
      },
    },
  ];
}

/** One host after the other is out of reach for the others, and for its clients too or not. */
export function partitions(hosts: readonly TestHost[]): readonly Fault[] {
  const cut = (name: string, ...sides: readonly Side[]): Fault => ({
    name,
    async strike({ random }) {
      const host = hosts[randomInt(random, hosts.length)];
      host?.cut(...sides);
      await sleep(between(random, 2000, 8000));
      host?.heal();
    },
  });
  return [
    cut("F9 one node cut off from the others", "back"),
    cut("F9 one node cut off from everybody", "back", "front"),
  ];
}

/** No room is left for a while. */
export function fillDisk(disk: DiskControl): Fault {
  return {
    name: "F10 disk full",
    async strike({ random }) {
      await disk.fill();
      await sleep(between(random, 200, 1000));
      await disk.free();
    },
  };
}

/** The link toggles. */
export function flap(proxy: FaultProxy): Fault {
  return {
    name: FLAP,
    async strike({ random }) {
      await proxy.down();
      await sleep(between(random, 200, 1500));
      await proxy.up();
      await sleep(between(random, 200, 1500));
    },
  };
}
