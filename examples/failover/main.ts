import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
// The server of the tests: one that may be killed, on a port of its own.
import { startRedis, type TestServer } from "../../test/support/servers/redis.ts";
import { runFailover } from "./run.ts";

const UNAVAILABLE = 69;
const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    messages: { type: "string", default: "600" },
    rate: { type: "string", default: "100" },
  },
});
const server = await startRedis().catch(withoutServer);
process.exitCode = server === undefined ? UNAVAILABLE : await main(server);

async function main(redis: TestServer): Promise<number> {
  const directory = mkdtempSync(path.join(tmpdir(), "herald-failover-example-"));
  const say = (line: string): void => void (flags.json || process.stdout.write(`${line}\n`));
  try {
    const [messages, perSecond] = [Number(flags.messages), Number(flags.rate)];
    const outcome = await runFailover({ server: redis, directory, messages, perSecond, say });
    if (flags.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
    const { acknowledged, refused, handled, twice, lost, whileDead, slowestMs } = outcome;
    say(
      `acknowledged: ${acknowledged} (${whileDead} while Redis was dead), refused: ${refused}, slowest: ${slowestMs} ms`,
    );
    say(`handled: ${handled}, twice: ${twice}, lost: ${lost}`);
    return lost === 0 && outcome.undrained === 0 ? 0 : 1;
  } finally {
    await redis.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function withoutServer(error: Error): undefined {
  process.stderr.write(`${error.message}\nThe example needs a redis-server that it may kill.\n`);
}
