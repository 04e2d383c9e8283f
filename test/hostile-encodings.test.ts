import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { compressSync, uncompressSync } from "snappy";
import { describe, expect, it } from "vitest";
import { siege } from "./support/siege.ts";

const MIB = 1024 * 1024;
const zeros = Buffer.alloc(100 * MIB);
const [gzip, zstd, snappy] = [gzipSync(zeros), zstdCompressSync(zeros), compressSync(zeros)];
const nested = gzipSync(gzipSync('{"a":1}'));

/** A block of Snappy that is small and says it becomes 100 MiB: its length in front, and copies of one byte. */
function snappyBomb(): Uint8Array {
  return snappy.subarray(0, 100_000);
}

/** As much as a message may have: a list of small numbers. */
const honest = Buffer.concat([Buffer.from("dd000ff000", "hex"), Buffer.alloc(0xf_f000, 1)]);

/** Microseconds of the processor that something takes. */
async function cpuOf(task: () => unknown): Promise<number> {
  const startedAt = process.cpuUsage();
  await task();
  const { user, system } = process.cpuUsage(startedAt);
  return user + system;
}

describe("hostile encodings", () => {
  it.each<[string, Uint8Array, string, () => unknown]>([
    ["gzip of 100 KB that becomes 100 MiB", gzip, "gzip", () => gunzipSync(gzip)],
    ["zstd of 3 KB that becomes 100 MiB", zstd, "zstd", () => zstdDecompressSync(zstd)],
    ["snappy that becomes 100 MiB", snappyBomb(), "snappy", () => uncompressSync(snappy)],
  ])(
    "(%s) are DECOMPRESSION_LIMIT long before they are whole: a dead letter with its raw bytes, the handler not started",
    async (_name, bomb, contentEncoding, restore) => {
      const { target, smuggle, survives } = await siege({ retry: { maxAttempts: 5 } });
      let handled = 0;
      await target.subscribe("victim", () => void handled++);
      // The first of its kind pays for what is loaded and compiled.
      for (const id of ["warm-1", "warm-2", "warm-3"]) await smuggle(bomb, { id, contentEncoding });
      await survives();

      const whole = await cpuOf(restore);
      const refused = await cpuOf(async () => {
        await smuggle(bomb, { id: "m", contentEncoding });
        await survives();
      });

      expect(refused).toBeLessThan(whole);
      expect(handled).toBe(0);
      const entry = await target.deadLetters.get("m");
      expect(entry).toMatchObject({ code: "DECOMPRESSION_LIMIT", attempts: 1, message: undefined });
      expect(Buffer.from(entry?.body ?? []).equals(bomb)).toBe(true);
      expect(target.getMetrics()).toMatchObject({ delivered: 0, deadLettered: 4 });
    },
  );

  it.each<[string, Uint8Array | string, string, string]>([
    ["brotli", Buffer.from("0b028068656c6c6f03", "hex"), "br", "UNSUPPORTED"],
    ["two layers by name", nested, "gzip, gzip", "UNSUPPORTED"],
    ["two layers, one of them named", nested, "gzip", "MALFORMED"],
    ["an encoding of nonsense", "{}", "\u0000", "UNSUPPORTED"],
    ["an encoding of a megabyte", "{}", "x".repeat(MIB), "UNSUPPORTED"],
    ["JSON that says it is gzip", "{}", "gzip", "MALFORMED"],
    ["gzip that is cut short", gzipSync('{"a":1}').subarray(0, 20), "gzip", "MALFORMED"],
    [
      "zstd with something behind it",
      Buffer.concat([zstdCompressSync("1"), Buffer.from("2")]),
      "zstd",
      "MALFORMED",
    ],
    ["gzip of a key __proto__", gzipSync('{"__proto__":{"isAdmin":true}}'), "gzip", "UNSAFE_PAYLOAD"],
    [
      "zstd of 10,000 levels",
      zstdCompressSync("[".repeat(10_000) + "]".repeat(10_000)),
      "zstd",
      "DEPTH_LIMIT",
    ],
  ])("(%s) go to the dead letters as they came", async (_name, body, contentEncoding, code) => {
    const { target, smuggle, survives } = await siege({ retry: { maxAttempts: 5 } });
    let handled = 0;
    await target.subscribe("victim", () => void handled++);
    await smuggle(body, { id: "m", contentEncoding });
    await survives();

    expect(handled).toBe(0);
    const entry = await target.deadLetters.get("m");
    expect(entry).toMatchObject({ code, attempts: 1, message: undefined });
    expect(Buffer.from(entry?.body ?? []).equals(Buffer.from(body))).toBe(true);
  });
});

describe("hostile MessagePack", () => {
  it.each<[string, string, string]>([
    ["a million levels", "91".repeat(MIB), "DEPTH_LIMIT"],
    ["a list of four thousand million", "ddffffffff", "MALFORMED"],
    ["a key __proto__", "81a95f5f70726f746f5f5f81a7697341646d696ec3", "UNSAFE_PAYLOAD"],
    ["a constructor's prototype", "81ab636f6e7374727563746f7281a970726f746f7479706580", "UNSAFE_PAYLOAD"],
    ["a class of msgpackr's", "c70b73a54572726f72a2686992", "MALFORMED"],
    ["a date", "d6ff00000000", "MALFORMED"],
    ["an integer that would change", "cf0020000000000001", "MALFORMED"],
    ["text that is no UTF-8", "a2fffe", "MALFORMED"],
    ["two values", "0102", "MALFORMED"],
    ["nothing", "", "MALFORMED"],
  ])("(%s) goes to the dead letters as it came", async (_name, hex, code) => {
    const { target, smuggle, survives } = await siege();
    let handled = 0;
    await target.subscribe("victim", () => void handled++);
    const costOf = (id: string, body: Uint8Array) =>
      cpuOf(async () => {
        await smuggle(body, { id, contentType: "application/msgpack" });
        await survives();
      });
    // The first of its kind pays for what is loaded and compiled.
    await costOf("warm", honest);
    const whole = await costOf("honest", honest);

    expect(await costOf("m", Buffer.from(hex, "hex"))).toBeLessThan(whole);
    expect(handled).toBe(2);
    const entry = await target.deadLetters.get("m");
    expect(entry).toMatchObject({ code, attempts: 1, message: undefined });
    expect(Buffer.from(entry?.body ?? []).toString("hex")).toBe(hex);
  });
});

describe("too much, however it is packed", () => {
  it("is MESSAGE_TOO_LARGE at publish, and the connection stays", async () => {
    for (const compression of ["gzip", "zstd", "snappy"] as const) {
      const { target, survives } = await siege({ compression, contentType: "application/msgpack" });
      let handled = 0;
      await target.subscribe("victim", () => void handled++);
      for (const payload of [
        "x".repeat(10_000_000),
        new Uint8Array(10_000_000),
        { a: new Uint8Array(10_000_000) },
      ])
        await expect(target.publish("victim", payload)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
      const headers = Object.fromEntries(Array.from({ length: 10_000 }, (_none, at) => [`x-${at}`, "v"]));
      await expect(target.publish("victim", 1, { headers })).rejects.toMatchObject({
        code: "HEADERS_TOO_LARGE",
      });
      await target.publish("victim", "after");
      await survives();
      expect(handled).toBe(1);
    }
  });
});
