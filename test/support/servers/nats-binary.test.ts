import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { onPath, outputOf } from "./found.ts";

/** What is found by a process whose PATH has a shell and, unless it is undefined, a nats-server that says this version. */
function foundWith(version: string | undefined): string {
  const folder = mkdtempSync(path.join(tmpdir(), "herald-nats-path-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  symlinkSync(onPath("sh") as string, path.join(folder, "sh"));
  if (version !== undefined) {
    const file = path.join(folder, "nats-server");
    writeFileSync(file, `#!/bin/sh\necho "nats-server: v${version}"\n`);
    chmodSync(file, 0o755);
  }
  const module = JSON.stringify(path.join(import.meta.dirname, "nats-binary.ts"));
  const program = `const { natsBinary } = await import(${module}); process.stdout.write(JSON.stringify(natsBinary()));`;
  const said = outputOf(process.execPath, ["--input-type=module", "--eval", program], {
    env: { PATH: folder },
  });
  return said.replace(folder, "");
}

it("is the machine's nats-server when that is new enough", () => {
  expect(foundWith("2.12.0")).toBe('{"path":"/nats-server"}');
});

it("is none when the only one is too old or there is none, and the reason says so", () => {
  expect(foundWith("2.10.27")).toBe(
    '{"why":"the nats-server on the PATH (nats-server: v2.10.27) is older than 2.12, and there is no Go to build 2.15.3 with"}',
  );
  expect(foundWith(undefined)).toBe(
    '{"why":"there is no nats-server on the PATH, and there is no Go to build 2.15.3 with"}',
  );
});
