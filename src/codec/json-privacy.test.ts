import { expect, it } from "vitest";
import { decodeJson } from "./json.ts";

it("the error of a body that is not JSON says where, and quotes nothing of it", () => {
  const decode = (): unknown => decodeJson(Buffer.from("password=hunter2"), 64);

  expect(decode).toThrow(expect.objectContaining({ code: "MALFORMED" }));
  expect(decode).toThrow(/^The body is not JSON( from position \d+ on)?: publish JSON/);
  expect(decode).not.toThrow(/hunter2|password/);
});
