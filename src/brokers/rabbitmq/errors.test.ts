import { describe, expect, it } from "vitest";
import { isMissing, isOtherwise, rabbitError } from "./errors.ts";

const said = (code: number, text: string) => Object.assign(new Error(text), { code });

describe("an error of the server", () => {
  it("is one that is worth another try while what it is about only begins to be served", () => {
    const starting = said(
      406,
      "PRECONDITION_FAILED - stream queue 'q' does not have a running replica on the local node",
    );
    expect(rabbitError(starting)).toMatchObject({ code: "NOT_CONNECTED", retryable: true });
    expect(isOtherwise(starting)).toBe(false);
    const away = said(404, "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor");
    expect(rabbitError(away)).toMatchObject({ code: "NOT_CONNECTED" });
    expect(isMissing(away)).toBe(false);
  });

  it("says what is there in another way, and what is not there at all", () => {
    const other = said(406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e' in vhost '/'");
    expect([rabbitError(other).code, isOtherwise(other)]).toEqual(["INVALID_ARGUMENT", true]);
    const missing = said(404, "NOT_FOUND - no exchange 'e' in vhost '/'");
    expect([rabbitError(missing).code, isMissing(missing)]).toEqual(["NOT_FOUND", true]);
  });
});
