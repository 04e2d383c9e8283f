import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkStorage, type CheckOptions } from "./check-storage.ts";
import { SHARED_FILE_SYSTEMS } from "./file-systems.ts";

let root: string;
let place: string;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "herald-check-"));
  place = path.join(root, "messages");
});
afterEach(() => rmSync(root, { recursive: true }));

/** Code and sentence of the refusal. */
function refusal(options?: CheckOptions, directory = place): string {
  try {
    checkStorage(directory, options);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code}: ${message.replaceAll(root, "")}`;
  }
  return "accepted";
}

const modeOf = (file: string): number => statSync(file).mode & 0o777;
const isRoot = process.getuid?.() === 0;

describe("the check of a storage", () => {
  it("makes a missing directory 0700 with a database of 0600, whatever the umask", () => {
    const before = process.umask(0o002);
    try {
      const deep = path.join(root, "a", "b");
      expect(checkStorage(deep).directory).toBe(deep);
      expect([modeOf(deep), modeOf(path.join(deep, "herald.db"))]).toEqual([0o700, 0o600]);
    } finally {
      process.umask(before);
    }
  });

  it("accepts what it made, again and again, and tells the directory by its inode", () => {
    const first = checkStorage(place);
    expect(checkStorage(place)).toEqual(first);
    expect(first.inode).toBe(lstatSync(place, { bigint: true }).ino);
    rmSync(place, { recursive: true });
    mkdirSync(path.join(root, "other"));
    expect(checkStorage(place).inode).not.toBe(first.inode);
  });

  it("refuses a symbolic link in the place of the directory, also one that leads nowhere", () => {
    mkdirSync(path.join(root, "target"), { mode: 0o700 });
    symlinkSync(path.join(root, "target"), place);
    expect(refusal()).toBe(
      "UNSAFE_STORAGE: '/messages' is a symbolic link. Name the directory that it leads to.",
    );
    expect(refusal({}, `${place}/`)).toMatch(/symbolic link/);
    rmSync(place);
    symlinkSync(path.join(root, "nowhere"), place);
    expect(refusal()).toMatch(/^UNSAFE_STORAGE: .* is a symbolic link/);
  });

  it.each(["herald.db", "herald.db-wal", "herald.db-shm"])(
    "refuses a symbolic link or a directory called %s",
    (name) => {
      checkStorage(place);
      const file = path.join(place, name);
      rmSync(file, { force: true });
      writeFileSync(path.join(root, "victim"), "keep", { mode: 0o600 });
      symlinkSync(path.join(root, "victim"), file);
      expect(refusal()).toBe(
        `UNSAFE_STORAGE: '/messages/${name}' is a symbolic link. Remove it, and put the file itself in its place.`,
      );
      rmSync(file);
      mkdirSync(file);
      expect(refusal()).toMatch(/^UNSAFE_STORAGE: .* is no regular file/);
    },
  );

  it("refuses a file in the place of the directory or of one above it", () => {
    writeFileSync(place, "");
    expect(refusal()).toBe(
      "UNSAFE_STORAGE: '/messages' is no directory. Name a directory, or one that can be made.",
    );
    expect(refusal({}, path.join(place, "deeper"))).toMatch(/^UNSAFE_STORAGE: .* is no directory/);
  });

  it("refuses a directory that others may write, and says how to close it", () => {
    mkdirSync(place);
    for (const mode of [0o770, 0o707, 0o777, 0o1777]) {
      chmodSync(place, mode);
      expect(refusal()).toBe(
        `UNSAFE_STORAGE: '/messages' may be written by others (mode 0${(mode & 0o777).toString(8)}). Run: chmod 700 '/messages'`,
      );
    }
    chmodSync(place, 0o755);
    expect(refusal()).toBe("accepted");
    expect(modeOf(place)).toBe(0o755);
  });

  it("takes files that others may read back to 0600, and refuses those that others may write", () => {
    checkStorage(place);
    const file = path.join(place, "herald.db");
    chmodSync(file, 0o644);
    expect(checkStorage(place).tightened).toEqual(["herald.db"]);
    expect(modeOf(file)).toBe(0o600);
    chmodSync(file, 0o620);
    expect(refusal()).toMatch(
      /^UNSAFE_STORAGE: '\/messages\/herald.db' may be written by others \(mode 0620\)/,
    );
  });

  it.runIf(isRoot)("refuses a directory or a file of another user, also when root runs it", () => {
    checkStorage(place);
    chownSync(path.join(place, "herald.db"), 1000, 1000);
    expect(refusal()).toMatch(/^UNSAFE_STORAGE: '\/messages\/herald.db' belongs to user 1000, not to user 0/);
    chownSync(path.join(place, "herald.db"), 0, 0);
    chownSync(place, 1000, 1000);
    expect(refusal()).toBe(
      "UNSAFE_STORAGE: '/messages' belongs to user 1000, not to user 0 who runs this. Run it as that user, or choose another directory.",
    );
  });

  it("refuses what belongs to somebody else than the user it is told, and looks at nobody where there are no users", () => {
    checkStorage(place);
    expect(refusal({ uid: (process.getuid?.() ?? 0) + 1 })).toMatch(
      /^UNSAFE_STORAGE: '\/messages' belongs to user/,
    );
    chmodSync(place, 0o777);
    expect(refusal({ uid: undefined })).toBe("accepted");
  });

  it.each([...SHARED_FILE_SYSTEMS])("refuses the file system %i, which is %s", (magic, name) => {
    expect(refusal({ magicOf: () => magic })).toBe(
      `UNSAFE_STORAGE: '/messages' lies on ${name}, which other machines share. Choose a directory on a disk of this machine.`,
    );
  });

  it("accepts the file systems of a machine's own disks", () => {
    for (const magic of [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1])
      expect(refusal({ magicOf: () => magic })).toBe("accepted");
  });

  it("refuses FUSE where the table of mounts does not say that it is a local disk", () => {
    expect(refusal({ magicOf: () => 0x65735546 })).toMatch(/^UNSAFE_STORAGE: .* which other machines share/);
  });

  it("refuses a directory that is swapped while it is checked", () => {
    checkStorage(place);
    const swap = (): number => {
      rmSync(place, { recursive: true });
      mkdirSync(path.join(root, "in-between"));
      mkdirSync(place, { mode: 0o700 });
      return 0xef53;
    };
    expect(refusal({ magicOf: swap })).toMatch(
      /^UNSAFE_STORAGE: '\/messages' was replaced while it was checked/,
    );
  });

  it("names what the system refuses", () => {
    const failing = (code: string) => ({
      magicOf: () => {
        throw Object.assign(new Error(`${code}: no`), { code });
      },
    });
    expect(refusal(failing("ENOSPC"))).toMatch(/^STORAGE_FULL: The storage '\/messages' has no room left/);
    expect(refusal(failing("EROFS"))).toMatch(
      /^FORBIDDEN: The storage '\/messages' lies on a file system that is read-only/,
    );
    expect(refusal(failing("EACCES"))).toMatch(
      /^FORBIDDEN: The storage '\/messages' may not be used by this process/,
    );
    expect(refusal(failing("EIO"))).toMatch(/^INTERNAL: /);
  });
});
