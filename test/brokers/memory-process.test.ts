import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);
const root = new URL("../../src/", import.meta.url);

/** Output of a program of its own; rejects unless it ends with exit code 0. */
async function output(body: string): Promise<string> {
  const program = `
    import { MemoryBroker } from "${new URL("brokers/memory/broker.ts", root).href}";
    import { MessagingService } from "${new URL("service/service.ts", root).href}";
    const service = new MessagingService({ agentId: "a", broker: new MemoryBroker() });
    await service.start();
    ${body}`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program]);
  return stdout.trim();
}

it("a process that waits for an answer is alive until its time is up, and ends when its service is stopped", async () => {
  const asking = `
    await service.subscribe("q", () => new Promise(() => {}));
    const code = await service.request("q", {}, { timeoutMs: 200 }).catch((error) => error.code);
    await service.stop({ gracePeriodMs: 0 });
    console.log(code);`;
  expect(await output(asking)).toBe("TIMEOUT");
});

it("a process that reads is alive while a retry waits, and ends when nobody reads any more", async () => {
  const retrying = `
    const attempts = [];
    const handled = Promise.withResolvers();
    const retry = { backoff: { initialDelayMs: 100 } };
    const handle = (_, { attempt }) => {
      attempts.push(attempt);
      if (attempt === 1) throw new Error("again");
      handled.resolve();
    };
    const listening = await service.subscribe("c", handle, { retry });
    await service.publish("c", {});
    await handled.promise;
    await listening.unsubscribe();
    console.log(attempts.join());`;
  expect(await output(retrying)).toBe("1,2");
});

it("a process that only publishes ends", async () => {
  expect(await output(`await service.publish("c", {}); console.log("published");`)).toBe("published");
});
