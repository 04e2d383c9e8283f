import { execFileSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";

/** `front`: between a host and its clients, who are on this machine. `back`: between the hosts. */
export type Side = "front" | "back";

const SIDES: readonly Side[] = ["front", "back"];

/** A host of its own on this machine: a network namespace with a cable to each of two switches. */
export interface TestHost {
  /** Its address on each side. */
  readonly addresses: Readonly<Record<Side, string>>;
  /** How a program is started there. */
  inside(
    binary: string,
    args: readonly string[],
  ): { readonly binary: string; readonly args: readonly string[] };
  /** From now on what is sent over these cables arrives nowhere, and nobody is told. */
  cut(...sides: readonly Side[]): void;
  /** Every cable is whole again. */
  heal(): void;
}

/** Hosts that hear one another. */
export interface TestHosts extends AsyncDisposable {
  readonly hosts: readonly TestHost[];
}

/** Why there are none here; undefined: there are. */
export function whyNoHosts(): string | undefined {
  const name = `h${randomBytes(3).toString("hex")}`;
  try {
    ip(`netns add ${name}`);
    ip(`netns del ${name}`);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made (${(error as Error).message.trim().split("\n").at(-1)})`;
  }
}

/** Makes hosts on two switches of their own. Rejects with what `ip` says. */
export async function makeHosts(count: number): Promise<TestHosts> {
  const id = randomBytes(3).toString("hex");
  const switches = SIDES.map((side) => ({
    side,
    device: `${side}${id}`,
    net: `10.${randomInt(64, 128)}.${randomInt(256)}`,
  }));
  const spaces = Array.from({ length: count }, (_none, at) => `h${id}${at}`);
  const remove = () => {
    for (const name of spaces) quietly(`netns del ${name}`);
    for (const { device } of switches) quietly(`link del ${device}`);
  };
  try {
    for (const { device, net } of switches) addSwitch(device, `${net}.254`);
    const hosts = spaces.map((name, at) => addHost(name, at, switches));
    return { hosts, [Symbol.asyncDispose]: async () => remove() };
  } catch (error) {
    remove();
    throw error;
  }
}

interface Switch {
  readonly side: Side;
  readonly device: string;
  readonly net: string;
}

function addSwitch(device: string, address: string): void {
  // What is plugged in is heard at once.
  ip(`link add ${device} type bridge forward_delay 0`);
  ip(`addr add ${address}/24 dev ${device}`);
  ip(`link set ${device} up`);
}

function addHost(name: string, at: number, switches: readonly Switch[]): TestHost {
  ip(`netns add ${name}`);
  ip(`-n ${name} link set lo up`);
  const addresses: Record<string, string> = {};
  for (const { side, device, net } of switches) {
    const address = `${net}.${at + 1}`;
    ip(`link add ${plug(name, side)} type veth peer name ${side} netns ${name}`);
    ip(`-n ${name} addr add ${address}/24 dev ${side}`);
    ip(`-n ${name} link set ${side} up`);
    ip(`link set ${plug(name, side)} master ${device} up`);
    addresses[side] = address;
  }
  return {
    addresses: addresses as Record<Side, string>,
    inside: (binary, args) => ({ binary: "ip", args: ["netns", "exec", name, binary, ...args] }),
    cut: (...sides) => {
      for (const side of sides) ip(`link set ${plug(name, side)} nomaster`);
    },
    heal: () => {
      for (const { side, device } of switches) ip(`link set ${plug(name, side)} master ${device}`);
    },
  };
}

/** The end of a host's cable that is in the switch. */
function plug(name: string, side: Side): string {
  return `${name}${side}`;
}

function ip(command: string): void {
  execFileSync("ip", command.split(" "), { stdio: ["ignore", "ignore", "pipe"] });
}

function quietly(command: string): void {
  try {
    ip(command);
  } catch {
    // It is not there.
  }
}
