import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, type Ran } from "./support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
const TSC = path.join(ROOT, "node_modules", "typescript", "bin", "tsc");
const folder = mkdtempSync(path.join(tmpdir(), "herald-package-"));

interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
}

const { exports } = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")) as Manifest;
const subpaths = Object.keys(exports).filter((subpath) => subpath !== "./package.json");

/** Fails with what the program said. */
async function mustRun(program: string, args: readonly string[], cwd = folder): Promise<Ran> {
  const ran = await run(program, args, { cwd });
  if (ran.code !== 0) throw new Error(`${program} ${args.join(" ")}\n${ran.stdout}\n${ran.stderr}`);
  return ran;
}

beforeAll(async () => {
  const packed = await mustRun(
    "npm",
    ["pack", "--json", "--ignore-scripts", "--pack-destination", folder],
    ROOT,
  );
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
  const project = {
    name: "user",
    private: true,
    type: "module",
    dependencies: {
      herald: `file:${path.join(folder, filename)}`,
      "@ossa/messaging": `file:${path.join(folder, filename)}`,
    },
  };
  writeFileSync(path.join(folder, "package.json"), JSON.stringify(project));
  await mustRun("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
}, 180_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the packed package, installed in an empty folder", () => {
  it.each(subpaths)("is imported from JavaScript as %s", async (subpath) => {
    const name = `herald${subpath.slice(1)}`;
    writeFileSync(
      path.join(folder, "use.js"),
      `const all = await import(${JSON.stringify(name)}); console.log(Object.keys(all).length);`,
    );

    const ran = await mustRun(process.execPath, ["use.js"]);

    expect(Number(ran.stdout)).toBeGreaterThan(0);
  });

  it("is imported from TypeScript by every subpath, with types that a strict project accepts", async () => {
    mkdirSync(path.join(folder, "types"), { recursive: true });
    const lines = subpaths.map(
      (subpath, i) => `import * as part${i} from "herald${subpath.slice(1)}";\nvoid part${i};`,
    );
    const use = `import { defineChannel, MessagingService, type Message } from "herald";
const orders = defineChannel<{ total: number }>("orders.created");
export async function main(service: MessagingService): Promise<string> {
  await service.subscribe(orders, (message: Message<{ total: number }>) => message.payload.total);
  // @ts-expect-error -- the payload's type follows from the channel
  await service.publish(orders, { total: "much" });
  return service.publish(orders, { total: 1 });
}`;
    writeFileSync(path.join(folder, "types", "use.ts"), `${lines.join("\n")}\n${use}\n`);
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--types", "node"];
    // As in every TypeScript project for Node: its types are there, and nothing else of ours is.
    mkdirSync(path.join(folder, "node_modules", "@types"), { recursive: true });
    for (const name of ["@types/node", "undici-types"])
      symlinkSync(path.join(ROOT, "node_modules", name), path.join(folder, "node_modules", name));

    const ran = await run(process.execPath, [TSC, ...options, "types/use.ts"], { cwd: folder });

    expect(ran).toMatchObject({ code: 0, stdout: "" });
  });

  it("has a command line that runs", async () => {
    const ran = await mustRun(path.join(folder, "node_modules", ".bin", "herald"), ["--help"]);

    expect(ran.stdout).toContain("validate");
  });

  it("holds no source, no test and no address of a registry", async () => {
    const ran = await mustRun("npm", ["pack", "--json", "--dry-run", "--ignore-scripts"], ROOT);
    const [{ files }] = JSON.parse(ran.stdout) as [{ files: { path: string }[] }];

    expect(files.length).toBeGreaterThan(50);
    expect(files.filter((file) => /\.test\.|^src\/|^test\//.test(file.path))).toEqual([]);
    expect(readFileSync(path.join(ROOT, "package-lock.json"), "utf8")).not.toContain('"resolved"');
  });
});

describe("a project that installs it as @ossa/messaging", () => {
  async function runSnippet(code: string): Promise<string[]> {
    writeFileSync(path.join(folder, "snippet.ts"), code);
    const ran = await mustRun(process.execPath, ["snippet.ts"]);
    return ran.stdout.trim().split("\n");
  }

  it("publishes and subscribes with a manifest in code", async () => {
    const printed = await runSnippet(`
import { MessagingService } from "@ossa/messaging";
const level = { type: "string", enum: ["info", "warning", "error"] };
const messaging = new MessagingService({
  agentId: "notifier",
  agentName: "Notifier",
  messaging: {
    publishes: [{ channel: "events.notifications", schema: { type: "object", properties: { message: { type: "string" }, level } } }],
    subscribes: [{ channel: "events.triggers", handler: "onTrigger" }],
  },
});
await messaging.start();
await messaging.subscribe("events.triggers", async (message) => console.log("trigger", message.payload));
const id = await messaging.publish("events.notifications", { message: "up", level: "info" });
console.log("published", id.length);
const refused = await messaging.publish("events.notifications", { message: "up", level: "loud" }).catch((error) => error.code);
console.log(refused);
await messaging.stop();
`);

    expect(printed).toEqual(["published 36", "SCHEMA_VIOLATION"]);
  });

  it("sends a command and gets its result", async () => {
    const printed = await runSnippet(`
import { MessagingService } from "@ossa/messaging";
const messaging = new MessagingService({ agentId: "data-processor" });
await messaging.start();
await messaging.registerCommandHandler("process_data", async (input: any) => ({ success: true, result: input.data.length }));
const response: any = await messaging.sendCommand("data-processor", "process_data", { data: [1, 2, 3] });
console.log(response.success, response.result);
await messaging.stop();
`);

    expect(printed).toEqual(["true 3"]);
  });

  it("filters by a field that lies in the payload, or else in the metadata", async () => {
    const printed = await runSnippet(`
import { MessagingService, DeliveryGuarantee } from "@ossa/messaging";
const messaging = new MessagingService({ agentId: "listener", defaultDeliveryGuarantee: DeliveryGuarantee.AT_LEAST_ONCE });
await messaging.start();
const got: unknown[] = [];
await messaging.subscribe("events.all", async (message) => void got.push(message.payload), { filter: { fields: { priority: "high" } } });
await messaging.publish("events.all", { n: 1, priority: "high" });
await messaging.publish("events.all", { n: 2, priority: "low" });
await messaging.publish("events.all", { n: 3 }, { priority: "high" });
while ((await messaging.getConsumerLag({ channel: "events.all" }))[0]?.lag !== 0) await new Promise((resolve) => setTimeout(resolve, 5));
console.log(JSON.stringify(got));
await messaging.stop();
`);

    expect(printed).toEqual(['[{"n":1,"priority":"high"},{"n":3}]']);
  });

  it("delivers exactly one message within 100 ms on an undeclared channel of a MemoryBroker", async () => {
    const printed = await runSnippet(`
import { MessagingService, MemoryBroker } from "@ossa/messaging";
const messaging = new MessagingService({ agentId: "test", broker: new MemoryBroker() });
await messaging.start();
const received: unknown[] = [];
await messaging.subscribe("test.channel", async (message) => { received.push(message.payload); });
await messaging.publish("test.channel", { test: "data" });
await new Promise((resolve) => setTimeout(resolve, 100));
console.log(JSON.stringify(received));
await messaging.stop();
`);

    expect(printed).toEqual(['[{"test":"data"}]']);
  });
});
