import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskCases } from "../../src/testing/conformance/cases/i-disk.ts";
import { runCase } from "../../src/testing/conformance/run.ts";
import { fileAt } from "../support/child-file.ts";
import { fileHarness } from "../support/harness-file.ts";
import { smallDisk, type SmallDisk } from "../support/small-disk.ts";

const made = smallDisk(48);
const reason = "why" in made ? ` [skipped: ${made.why}]` : "";

describe.skipIf("why" in made)(`the file broker on a small disk${reason}`, () => {
  let disk: SmallDisk;
  beforeAll(() => {
    disk = made as SmallDisk;
  });
  afterAll(() => disk.release());

  it.each(diskCases)("$id: $title", async (one) => {
    const child = new URL(
      `../support/child-file.ts?root=${encodeURIComponent(disk.folder)}`,
      import.meta.url,
    );
    const create = ({ place }: { readonly place: string }) => fileAt(path.join(disk.folder, place));
    const result = await runCase({ ...fileHarness, create, child, disk }, one);
    expect(result.error).toBeUndefined();
    expect(result.status).toBe("passed");
  });
});
