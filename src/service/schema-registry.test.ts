import { describe, expect, it, onTestFinished } from "vitest";
import { world } from "../../test/support/agents.ts";
import { GUID, GUID_HEADER, JSON_SCHEMA, ORDER, ORDER_AVRO, ORDER_SCHEMA } from "../../test/codec/vectors.ts";
import {
  registryFront,
  type Answer,
  type Front,
  type RegistryFront,
} from "../../test/support/registry-front.ts";
import { headerBytes } from "../core/binary-header.ts";
import type { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { SchemaRegistry, type SchemaRegistryOptions } from "./schema-registry.ts";

const ok = (body: unknown): Answer => ({ status: 200, body: JSON.stringify(body) });
const version = { subject: "s", id: 7, version: 1, schema: JSON.stringify(ORDER_SCHEMA) };

/** Something that answers as the test says, and a client of it that does not wait between tries. */
async function stand(front: Front, more: Partial<SchemaRegistryOptions> = {}) {
  const server = await registryFront(undefined, front);
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { server, registry: new SchemaRegistry({ url: server.url, retryDelayMs: 0, ...more }) };
}

const paths = ({ asked }: RegistryFront): string[] => asked.map(({ method, path }) => `${method} ${path}`);

describe("the header that names a schema by its GUID", () => {
  // As Confluent's registry answers from version 8 on, which cannot be had here; the header is what its clients write.
  const answers: Front = ({ path, method }) => {
    if (path === `/schemas/guids/${GUID}`) return ok({ schema: version.schema });
    if (path.endsWith("/versions") && method === "POST") return ok({ id: 7 });
    return ok({ ...version, guid: GUID.toUpperCase() });
  };

  it.each([{ schema: ORDER_SCHEMA, register: true }, { schema: ORDER_SCHEMA }, {}])(
    "is written and read, the body holding nothing but the value (%#)",
    async (options) => {
      const { registry } = await stand(answers);
      const { agent } = world();
      const codec = registry.avro({ ...options, schemaId: "header" });
      const service = await agent("a", { codecs: { orders: codec } });
      const got: [Message, string][] = [];
      await service.subscribe(
        "orders",
        (message, { body }) => void got.push([message, Buffer.from(body).toString("hex")]),
      );
      await service.publish("orders", ORDER, { headers: { mine: "x", __value_schema_id: "forged" } });
      await service.publish("orders", ORDER);
      await expect.poll(() => got).toHaveLength(2);

      const [[message, body] = []] = got;
      const { mine, __value_schema_id: header = "" } = message?.metadata.headers ?? {};
      expect([message?.payload, body, mine]).toEqual([ORDER, ORDER_AVRO, "x"]);
      expect(Buffer.from(headerBytes(header)).toString("hex")).toBe(GUID_HEADER);
      expect(message?.metadata.contentType).toBe("application/vnd.apache.avro");
    },
  );
});

describe("asking a registry", () => {
  it("is tried again when it did not answer or was busy, and never when it was refused", async () => {
    let left = 2;
    const { server, registry } = await stand(() => (left-- > 0 ? "drop" : ok(["a"])));
    expect(await registry.subjects()).toEqual(["a"]);
    expect(server.asked).toHaveLength(3);

    for (const status of [408, 429, 500, 502, 503, 504]) {
      left = 2;
      server.behave(() => (left-- > 0 ? { status, body: "busy" } : ok([])));
      expect(await registry.subjects()).toEqual([]);
    }
    for (const [status, code] of [
      [400, "INVALID_ARGUMENT"],
      [401, "UNAUTHENTICATED"],
      [403, "FORBIDDEN"],
      [404, "NOT_FOUND"],
      [409, "CONFLICT"],
      [422, "INVALID_ARGUMENT"],
      [501, "NOT_CONNECTED"],
    ] as const) {
      const before = server.asked.length;
      server.behave(() => ({
        status,
        body: JSON.stringify({ error_code: status * 100, message: "No.\r\nReally" }),
      }));
      await expect(registry.subjects()).rejects.toMatchObject({
        code,
        details: { status, registryCode: status * 100 },
        message: expect.stringContaining(String.raw`"No.\r\nReally"`) as string,
      });
      expect(server.asked.length - before).toBe(1);
    }
  });

  it("ends when nobody answers in time, or when it was tried often enough", async () => {
    const { server, registry } = await stand(() => "hang", { timeoutMs: 50, maxRetries: 1 });
    await expect(registry.subjects()).rejects.toMatchObject({ code: "TIMEOUT", retryable: true });
    expect(server.asked).toHaveLength(2);

    const busy = { status: 503, body: "", headers: { "retry-after": "0.01" } };
    const other = await stand(() => busy, { maxRetries: 1 });
    await expect(other.registry.subjects()).rejects.toMatchObject({ code: "NOT_CONNECTED", retryable: true });
    expect(other.server.asked).toHaveLength(2);
  });

  it("goes to the next of several when one cannot be reached, and not when one has refused", async () => {
    const [one, two] = [await stand(() => "drop"), await stand(() => ok(["two"]))];
    const both = new SchemaRegistry({ url: [one.server.url, two.server.url] });
    expect(await both.subjects()).toEqual(["two"]);
    one.server.behave(() => ({ status: 403, body: "" }));
    await expect(both.subjects()).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  it("carries a name and a password, a token, or what the URL says, and tells nobody", async () => {
    const { server } = await stand(() => ({ status: 401, body: "" }));
    const { host } = new URL(server.url);
    let renewed = 0;
    const basic = `Basic ${Buffer.from("nöme:secret").toString("base64")}`;
    for (const [options, expected] of [
      [{ url: server.url, auth: { username: "nöme", password: "secret" } }, basic],
      [{ url: `http://n%C3%B6me:secret@${host}/` }, basic],
      [{ url: server.url, auth: { token: "secret" } }, "Bearer secret"],
      [{ url: server.url, auth: { token: () => `secret-${++renewed}` } }, "Bearer secret-1"],
      [{ url: server.url, auth: { token: () => Promise.resolve(`secret-${++renewed}`) } }, "Bearer secret-2"],
    ] as const) {
      const error = await new SchemaRegistry(options).subjects().catch((refused: HeraldError) => refused);
      expect(server.asked.at(-1)?.authorization).toBe(expected);
      expect(error).toMatchObject({ code: "UNAUTHENTICATED", retryable: true });
      expect(JSON.stringify([error, (error as HeraldError).message])).not.toContain("secret");
    }
  });

  it("follows no redirect, and believes no answer that is none", async () => {
    const { server, registry } = await stand(() => ok([]), { maxRetries: 0 });
    server.behave(() => ({ status: 302, body: "", headers: { location: "http://127.0.0.1:1/" } }));
    await expect(registry.subjects()).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    for (const body of ["<html>", "{}", "5", "null", "[1]", `["${"x".repeat(5_000_000)}"]`]) {
      server.behave(() => ({ status: 200, body }));
      await expect(registry.subjects()).rejects.toMatchObject({ code: "MALFORMED" });
    }
    for (const body of [
      "null",
      "[]",
      '{"schema":5}',
      '{"schema":"int","references":5}',
      '{"schema":"int","references":[{}]}',
    ]) {
      server.behave(() => ({ status: 200, body }));
      await expect(registry.byId(Math.floor(Math.random() * 1e9))).rejects.toMatchObject({
        code: "MALFORMED",
      });
      await expect(registry.latest(`s${Math.random()}`)).rejects.toMatchObject({ code: "MALFORMED" });
    }
    server.behave(() => ok({ is_compatible: "yes" }));
    await expect(registry.compatibility("s", "string")).rejects.toMatchObject({ code: "MALFORMED" });
  });

  it("names subjects of any characters, and takes schemas as objects, as JSON, and as the name of a type", async () => {
    const { server, registry } = await stand(() =>
      ok({ ...version, is_compatible: true, messages: ["why"] }),
    );
    await registry.register("../a b/ü", { type: "int" });
    await registry.register("s", '{"type":"int"}');
    await registry.register("s", "int");
    expect(await registry.compatibility("s", "long", "JSON")).toEqual({ compatible: true, reasons: ["why"] });

    expect(paths(server)).toEqual([
      "POST /subjects/..%2Fa%20b%2F%C3%BC/versions",
      "POST /subjects/s/versions",
      "POST /subjects/s/versions",
      "POST /compatibility/subjects/s/versions/latest?verbose=true",
    ]);
    expect(server.asked.map(({ body }) => JSON.parse(body) as unknown)).toEqual([
      { schemaType: "AVRO", schema: '{"type":"int"}' },
      { schemaType: "AVRO", schema: '{"type":"int"}' },
      { schemaType: "AVRO", schema: '"int"' },
      { schemaType: "JSON", schema: '"long"' },
    ]);
  });
});

describe("schemas of a registry that is not to be trusted", () => {
  /** The code of the dead letter of a message that names a schema which is answered for with `answer`. */
  async function ends(answer: (path: string) => Answer): Promise<string | undefined> {
    const { registry } = await stand(({ path }) => answer(path), { maxRetries: 0 });
    const { agent } = world();
    const service = await agent("a", { codecs: { orders: registry.json() }, retry: { maxAttempts: 1 } });
    await service.subscribe("orders", () => undefined);
    const writer = await agent("b", { contentType: "application/vnd.apache.avro" });
    await writer.publish("orders", Buffer.from("000000000705", "hex"), { id: "m" });
    await expect.poll(() => service.deadLetters.get("m")).toBeDefined();
    // The second one finds what was learnt of the first.
    await writer.publish("orders", Buffer.from("000000000705", "hex"), { id: "n" });
    await expect.poll(() => service.deadLetters.get("n")).toBeDefined();
    const codes = (await service.deadLetters.list()).map(({ code }) => code);
    expect(new Set(codes).size).toBe(1);
    return codes[0];
  }
  const named = (name: string) => ({ name, subject: name, version: 1 });

  it.each<[string, object, string]>([
    ["of Protocol Buffers", { schemaType: "PROTOBUF", schema: "syntax" }, "UNSUPPORTED"],
    ["of a kind that is none", { schemaType: "__proto__", schema: "x" }, "UNSUPPORTED"],
    [
      "of JSON that names others",
      { schemaType: "JSON", schema: "{}", references: [named("a")] },
      "UNSUPPORTED",
    ],
    ["of JSON that is none", { schemaType: "JSON", schema: "{" }, "UNSAFE_SCHEMA"],
    [
      "of JSON with a keyword that is none",
      { schemaType: "JSON", schema: '{"nonsense":1}' },
      "UNSAFE_SCHEMA",
    ],
    [
      "of JSON with a hostile pattern",
      { schemaType: "JSON", schema: '{"pattern":"^(a|a)*$"}' },
      "UNSAFE_SCHEMA",
    ],
    [
      "of JSON that reaches out",
      { schemaType: "JSON", schema: '{"$ref":"http://127.0.0.1:1/x"}' },
      "UNSAFE_SCHEMA",
    ],
    ["of Avro that is none", { schema: "{" }, "UNSAFE_SCHEMA"],
    [
      "of Avro with code for a name",
      { schema: '{"type":"record","name":"a(){}","fields":[]}' },
      "UNSAFE_SCHEMA",
    ],
  ])("%s are dead letters by name", async (_name, schema, code) => {
    expect(await ends(() => ok({ ...version, ...schema }))).toBe(code);
  });

  it("that name each other in a circle, or without end, end", async () => {
    const circle = (path: string): Answer => {
      const self = path.split("/")[2] === "a" ? "b" : "a";
      return ok({ ...version, schema: '"boolean"', references: [named(self)] });
    };
    expect(await ends(circle)).toBe("MALFORMED");
    const endless = (path: string): Answer => {
      const n = Number(path.split("/")[2] ?? 0);
      return ok({ ...version, schema: '"int"', references: [named(String((Number.isNaN(n) ? 0 : n) + 1))] });
    };
    expect(await ends(endless)).toBe("UNSAFE_SCHEMA");
  });
});

describe("options of a registry and its codecs", () => {
  const registry = new SchemaRegistry({ url: "http://127.0.0.1:1" });

  it.each<[string, () => unknown]>([
    ["url", () => new SchemaRegistry({ url: "nonsense" })],
    ["url", () => new SchemaRegistry({ url: "ftp://user:secret@host" })],
    ["url", () => new SchemaRegistry({ url: [] })],
    ["auth", () => new SchemaRegistry({ url: "http://a", auth: { username: "secret" } as never })],
    [
      "auth",
      () =>
        new SchemaRegistry({
          url: "http://a",
          auth: { token: "secret", username: "a", password: "b" } as never,
        }),
    ],
    ["timeoutMs", () => new SchemaRegistry({ url: "http://a", timeoutMs: 0 })],
    ["maxRetries", () => new SchemaRegistry({ url: "http://a", maxRetries: -1 })],
    ["maxSchemas", () => new SchemaRegistry({ url: "http://a", maxSchemas: 0 })],
    ["schemaId", () => registry.avro({ schemaId: "footer" as never })],
    ["subject", () => registry.avro({ subject: "record" })],
    ["subject", () => registry.json({ subject: "nonsense" as never })],
    ["schema", () => registry.json({ schema: 5 as never })],
    ["schema", () => registry.avro({ schema: "" })],
  ])("and are wrong are INVALID_ARGUMENT, naming %s, and no secret (%#)", (field, make) => {
    expect(make).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }));
    expect(make).not.toThrow("secret");
  });

  it("are found wrong when the service starts, as far as the registry need not be asked", async () => {
    const unnamed = registry.avro({ schema: "int", subject: "record" });
    for (const [codec, code] of [
      [registry.avro({ schema: { type: "nonsense" } }), "UNSAFE_SCHEMA"],
      [registry.json({ schema: { nonsense: 1 } }), "UNSAFE_SCHEMA"],
    ] as const)
      await expect(world().agent("a", { codecs: { orders: codec } })).rejects.toMatchObject({ code });
    const service = await world().agent("b", {
      codecs: { orders: unnamed, "titled.#": registry.json({ schema: JSON_SCHEMA, subject: () => "x" }) },
    });
    await expect(service.publish("orders", 1)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
