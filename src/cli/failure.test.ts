import { describe, expect, it } from "vitest";
import { CommandError, ERROR_CODES, HeraldError } from "../core/errors.ts";
import { failureJson, failureLines, failureOf } from "./failure.ts";

function system(code: string): Error {
  return Object.assign(new Error(code), { code, path: "/x" });
}

describe("failureOf", () => {
  it("has an exit code other than 0, a reason and a way out for every code of Herald", () => {
    for (const code of Object.keys(ERROR_CODES)) {
      const { exit, why, hint } = failureOf(new HeraldError(code, "Something."));
      expect([code, exit > 0, why.length > 10, hint.length > 5]).toEqual([code, true, true, true]);
    }
  });

  it("takes the exit codes of sysexits where there is one", () => {
    const exitOf = (code: string): number => failureOf(new HeraldError(code, "x")).exit;
    expect(
      [
        "INVALID_ARGUMENT",
        "SCHEMA_VIOLATION",
        "INVALID_MANIFEST",
        "NO_RESPONDER",
        "TIMEOUT",
        "FORBIDDEN",
        "UNSUPPORTED",
        "INTERNAL",
      ].map(exitOf),
    ).toEqual([64, 65, 65, 69, 75, 77, 78, 70]);
  });

  it("takes what an error says of itself before what its code says", () => {
    const error = new HeraldError("INTERNAL", "x", { details: { exit: 3, why: "w", hint: "h", field: "f" } });
    expect(failureOf(error)).toMatchObject({ exit: 3, why: "w", hint: "h", details: { field: "f" } });
  });

  it("ends with 66 for a file that is missing and with 77 for one that is forbidden", () => {
    const details = { file: "a.yaml" };
    const forbidden = new HeraldError("INVALID_ARGUMENT", "x", { details, cause: system("EACCES") });
    expect(failureOf(new HeraldError("NOT_FOUND", "x", { details })).exit).toBe(66);
    expect(failureOf(new HeraldError("INVALID_ARGUMENT", "x", { details })).exit).toBe(66);
    expect(
      [forbidden, system("ENOENT"), system("EISDIR"), system("EPERM")].map((error) => failureOf(error).exit),
    ).toEqual([77, 66, 66, 77]);
  });

  it("keeps the agent's own code, and ends with what the caller can do about it", () => {
    const exitOf = (code: string): number => failureOf(new CommandError(code, "x")).exit;
    expect(
      ["SCHEMA_VIOLATION", "NOT_FOUND", "HANDLER_FAILED", "INTERNAL", "OUT_OF_MILK"].map(exitOf),
    ).toEqual([65, 69, 1, 1, 1]);
    expect(failureOf(new CommandError("OUT_OF_MILK", "no milk"))).toMatchObject({
      code: "OUT_OF_MILK",
      message: "no milk",
    });
  });

  it("takes an unknown code for a failure and anything else for a bug", () => {
    expect(failureOf(new HeraldError("ODD", "x")).exit).toBe(1);
    expect(
      [failureOf(new TypeError("x")), failureOf("thrown")].map(({ exit, code }) => [exit, code]),
    ).toEqual([
      [70, "INTERNAL"],
      [70, "INTERNAL"],
    ]);
  });
});

describe("failureLines and failureJson", () => {
  it("are one printable line each for what, why and what to do", () => {
    const lines = failureLines(failureOf(new HeraldError("INTERNAL", "a\u001b[31m\nb")));
    expect(lines[0]).toBe("a\\u{1b}[31m\\nb");
    expect(lines).toHaveLength(3);
  });

  it("carry the details as far as they can be written", () => {
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    expect(failureJson(failureOf(new HeraldError("USAGE", "x", { details: { path: "a.b" } })))).toMatchObject(
      { error: { code: "USAGE", exit: 64, details: { path: "a.b" } } },
    );
    expect(failureJson(failureOf(new HeraldError("USAGE", "x", { details: circular })))).not.toHaveProperty(
      "error.details",
    );
    expect(failureJson(failureOf(new HeraldError("USAGE", "x")))).not.toHaveProperty("error.details");
  });
});
