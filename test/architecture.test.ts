import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

/** Which rooms a room may import. The picture and the reasons stand in docs/architecture.md. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  codec: ["core"],
  brokers: ["core"],
  stores: ["core"],
  routing: ["core"],
  security: ["core"],
  observability: ["core"],
  admin: ["core"],
  testing: ["core"],
  delivery: ["core", "routing", "codec"],
  patterns: ["core", "delivery"],
  gateway: ["core", "patterns"],
  service: [
    "core",
    "codec",
    "brokers",
    "stores",
    "routing",
    "security",
    "observability",
    "admin",
    "delivery",
    "patterns",
    "gateway",
  ],
  cli: ["core", "service"],
};

/** Third-party packages, and the only room that may import each. A test file may import anything. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  yaml: ["service"],
  typebox: ["service"],
  "@marcbachmann/cel-js": ["routing"],
  cockatiel: ["service"],
  commander: ["cli"],
  pino: ["cli"],
  "@platformatic/kafka": ["brokers"],
  "@redis/client": ["brokers"],
  "@nats-io/transport-node": ["brokers"],
  amqplib: ["brokers"],
  bullmq: ["brokers"],
  croner: ["patterns"],
  jsonata: ["routing"],
  "@jmespath-community/jmespath": ["routing"],
  avsc: ["codec"],
  msgpackr: ["codec"],
  snappy: ["codec"],
  canonicalize: ["patterns"],
};

const MAX_FILE_LINES = 400;
const ROOT = path.resolve(import.meta.dirname, "../src");

interface Source {
  /** Path below src, with forward slashes. */
  readonly file: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function readSources(): Source[] {
  return readdirSync(ROOT, { recursive: true, encoding: "utf8" })
    .map((file) => file.split(path.sep).join("/"))
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .map((file) => {
      const text = readFileSync(path.join(ROOT, file), "utf8");
      return { file, text, imports: importsOf(text) };
    });
}

function importsOf(text: string): string[] {
  const statements = text.matchAll(
    /^\s*(?:import|export)\s[^;]*?from\s+"([^"]+)"|\bimport\("([^"]+)"\)|^import\s+"([^"]+)"/gm,
  );
  return [...statements].map((match) => (match[1] ?? match[2] ?? match[3]) as string);
}

function roomOf(file: string): string {
  return file.includes("/") ? (file.split("/")[0] as string) : "(root)";
}

function targetOf(source: Source, specifier: string): string {
  return path.posix.normalize(path.posix.join(path.posix.dirname(source.file), specifier));
}

function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return specifier.startsWith("@") ? parts.slice(0, 2).join("/") : (parts[0] as string);
}

/** One sentence for each import that breaks a rule. */
function violations(sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    source.imports.flatMap((specifier) => violationOf(source, specifier) ?? []),
  );
}

function violationOf(source: Source, specifier: string): string | undefined {
  const room = roomOf(source.file);
  if (specifier.startsWith("node:")) return undefined;
  if (!specifier.startsWith(".")) {
    const name = packageOf(specifier);
    const rooms = PACKAGES[name];
    if (rooms?.includes(room) === true) return undefined;
    return `${source.file} imports the package '${name}'; ${rooms === undefined ? "no room may" : `only ${rooms.join(", ")} may`}.`;
  }
  const target = targetOf(source, specifier);
  const other = roomOf(target);
  if (other === room || room === "(root)") return undefined;
  const allowed = MAY_IMPORT[room];
  if (allowed === undefined) return `${source.file} stands in '${room}', which is not a room.`;
  if (target === `${other}/index.ts`)
    return `${source.file} imports ${target}; import the file that holds what you need, not the index.`;
  if (allowed.includes(other)) return undefined;
  return `${source.file} imports '${other}'; ${room} may import only ${allowed.join(", ") || "Node's built-ins"}.`;
}

/** The files of one import cycle, or undefined. */
function findCycle(sources: readonly Source[]): string[] | undefined {
  const graph = new Map(
    sources.map((source) => [
      source.file,
      source.imports.filter((name) => name.startsWith(".")).map((name) => targetOf(source, name)),
    ]),
  );
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): string[] | undefined => {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
    if (done.has(file)) return undefined;
    trail.push(file);
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next);
      if (cycle !== undefined) return cycle;
    }
    trail.pop();
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

describe("the rooms", () => {
  const sources = readSources();

  it("import only what the table allows", () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(violations(sources)).toEqual([]);
  });

  it("have no import cycle", () => {
    expect(findCycle(sources)).toBeUndefined();
  });

  it("hold no file above 400 lines", () => {
    const long = sources
      .filter(({ text }) => text.split("\n").length > MAX_FILE_LINES)
      .map(({ file }) => file);
    expect(long).toEqual([]);
  });

  it("are all in the table", () => {
    const rooms = new Set(sources.map(({ file }) => roomOf(file)).filter((room) => room !== "(root)"));
    expect([...rooms].filter((room) => MAY_IMPORT[room] === undefined)).toEqual([]);
  });

  it("are checked by rules that can fail: a broker that imports delivery, a foreign package, an index, a cycle", () => {
    const bad = (file: string, specifier: string): Source => ({ file, text: "", imports: [specifier] });
    expect(violations([bad("brokers/memory/broker.ts", "../../delivery/consumer.ts")])).toEqual([
      "brokers/memory/broker.ts imports 'delivery'; brokers may import only core.",
    ]);
    expect(violations([bad("core/ids.ts", "yaml")])).toEqual([
      "core/ids.ts imports the package 'yaml'; only service may.",
    ]);
    expect(violations([bad("service/service.ts", "../delivery/index.ts")])).toHaveLength(1);
    expect(findCycle([bad("core/a.ts", "./b.ts"), bad("core/b.ts", "./a.ts")])).toEqual([
      "core/a.ts",
      "core/b.ts",
      "core/a.ts",
    ]);
  });
});

describe("the public face", () => {
  it("exports these names and no others: a new one is a decision", async () => {
    const face = await import("../src/index.ts");
    expect(Object.keys(face).toSorted()).toEqual([
      "BaseAgent",
      "ChannelNames",
      "CommandError",
      "ConcurrencyError",
      "ConfigError",
      "CoordinationMode",
      "DeliveryGuarantee",
      "EventStore",
      "FailoverBroker",
      "FileBroker",
      "HeraldError",
      "KafkaBroker",
      "MemoryBroker",
      "MemoryInbox",
      "MemoryStores",
      "MessageBus",
      "MessagePriority",
      "MessageType",
      "MessagingConfig",
      "MessagingService",
      "NatsBroker",
      "NoResponderError",
      "Projection",
      "RabbitBroker",
      "RedisBroker",
      "RejectError",
      "RequestTimeoutError",
      "Saga",
      "SagaError",
      "SchemaRegistry",
      "SnoozeError",
      "StreamState",
      "commandStep",
      "defineChannel",
      "getBus",
      "isHeraldError",
      "loadAgents",
      "setBus",
    ]);
  });
});
