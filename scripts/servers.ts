import { down, FLEET, standing, up } from "../test/support/servers/fleet.ts";

const USAGE = `Usage: npm run servers -- up|down|status [names]

Real servers for tests and for trying things out, on loopback ports of their own, with their data under a scratch folder.
Names: ${FLEET.join(", ")} (default: all)
  up      starts them, and fetches or installs what they take where that is possible
  down    ends what 'up' started, and nothing else
  status  what runs, and how a program connects
Exit code 1 when one could not be started, 2 for a wrong call.
`;

const [action = "", ...names] = process.argv.slice(2);
const unknown = names.find((name) => !FLEET.includes(name));
if (!["up", "down", "status"].includes(action) || unknown !== undefined) {
  process.stderr.write(unknown === undefined ? USAGE : `There is no server '${unknown}'.\n\n${USAGE}`);
  process.exit(2);
}
const chosen = names.length === 0 ? FLEET : names;

if (action === "up") {
  for (const name of chosen) {
    try {
      say(name, (await up(name)).url);
    } catch (error) {
      say(name, `NOT RUNNING: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
} else {
  const running = standing();
  for (const name of chosen) {
    const one = running.find((entry) => entry.name === name);
    if (one !== undefined && action === "down") down(one);
    say(name, one === undefined ? "does not run" : action === "down" ? "ended" : one.url);
  }
}

function say(name: string, words: string): void {
  process.stdout.write(`${name.padEnd(16)} ${words}\n`);
}
