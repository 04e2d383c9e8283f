import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, describe, expect, it } from "vitest";
import { readData } from "./data.ts";

const folder = mkdtempSync(path.join(tmpdir(), "herald-data-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string | Buffer): string {
  const full = path.join(folder, name);
  writeFileSync(full, text);
  return `@${full}`;
}

async function read(
  data: string | undefined,
  stdin: Iterable<Buffer> = [],
  signal = new AbortController().signal,
) {
  const found: unknown[] = [];
  for await (const datum of readData(data, { stdin: Readable.from(stdin), signal })) {
    found.push(
      datum.ok ? datum.value : { line: datum.line, code: datum.error.code, message: datum.error.message },
    );
  }
  return found;
}

describe("readData", () => {
  it("is an empty object where nothing is given", async () => {
    expect(await read(undefined)).toEqual([{}]);
  });

  it("reads the JSON that is given", async () => {
    expect(await read('{"a":[1,null]}')).toEqual([{ a: [1, null] }]);
  });

  it("says why the data is no JSON", async () => {
    expect(await read("{a}")).toEqual([expect.objectContaining({ code: "MALFORMED", line: undefined })]);
  });

  it("reads one value from a file, and one a line from a file of lines", async () => {
    expect(await read(file("one.json", '{\n"a": 1\n}\n'))).toEqual([{ a: 1 }]);
    expect(await read(file("many.jsonl", "1\n\n2\n"))).toEqual([1, 2]);
    expect(await read(file("bom.json", "\ufeff[]"))).toEqual([[]]);
  });

  it("rejects with the system's error for a file that is not there", async () => {
    await expect(read("@/nowhere/x.json")).rejects.toMatchObject({ code: "ENOENT" });
    await expect(read("@")).rejects.toMatchObject({ code: "USAGE" });
  });

  it("reads a line at a time, wherever the chunks are cut, also the last one without its end", async () => {
    const bytes = Buffer.from('{"a":"é"}\n\n  \n[1]\n"x"');
    const chunks = Array.from(bytes, (byte) => Buffer.from([byte]));
    expect(await read("-", chunks)).toEqual([{ a: "é" }, [1], "x"]);
    expect(await read("-", [])).toEqual([]);
  });

  it("goes on behind a line that is no JSON or no UTF-8, and names it", async () => {
    expect(await read("-", [Buffer.from("1\nx\n"), Buffer.from([0xff, 0x0a]), Buffer.from("2\n")])).toEqual([
      1,
      expect.objectContaining({ line: 2, code: "MALFORMED" }),
      { line: 3, code: "MALFORMED", message: "The data is not UTF-8." },
      2,
    ]);
  });

  it("refuses a number that would arrive as another one", async () => {
    expect(await read('{"id":12345678901234567890}')).toEqual([
      expect.objectContaining({ message: "The number 12345678901234567890 at 'id' cannot be held exactly." }),
    ]);
    expect(await read("1e999")).toEqual([expect.objectContaining({ code: "MALFORMED" })]);
    expect(await read("[0.1,-0,9007199254740991]")).toEqual([[0.1, -0, 9007199254740991]]);
  });

  it("refuses a line or a file that would fill the memory", async () => {
    const megabyte = Buffer.alloc(2 ** 20, 0x20);
    const endless = Array.from({ length: 18 }, () => megabyte);
    await expect(read("-", endless)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    await expect(read(file("large.json", Buffer.alloc(17 * 2 ** 20, 0x20)))).rejects.toMatchObject({
      code: "MESSAGE_TOO_LARGE",
    });
  });

  it("ends without an error when it is interrupted", async () => {
    const controller = new AbortController();
    const stdin = new Readable({ read: () => {} });
    stdin.push("1\n");
    const found: unknown[] = [];
    for await (const datum of readData("-", { stdin, signal: controller.signal })) {
      found.push(datum);
      controller.abort();
    }
    expect(found).toEqual([{ ok: true, value: 1, line: 1 }]);
  });
});
