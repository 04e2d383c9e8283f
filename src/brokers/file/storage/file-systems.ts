import { readFileSync, statfsSync, statSync } from "node:fs";

/** FUSE says only "some program": which one stands in the table of mounts. */
const FUSE_MAGIC = 0x65735546;

/**
 * File systems whose files live on, or are shared with, another machine, by the magic number that statfs(2) gives. SQLite's
 * WAL needs memory that all its users share and locks that hold: none of these promises both.
 */
export const SHARED_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x517b, "SMB"],
  [0x01021997, "9p"],
  [0x564c, "NCP"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x0bd00bd0, "Lustre"],
  [0x00c36400, "Ceph"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0x20030528, "OrangeFS"],
  [0xaad7aaea, "PanFS"],
  [0xbeefdead, "StorNext"],
  [0x013111a8, "IBRIX"],
  [0x786f4256, "VirtualBox shared folder"],
  [0xbacbacbc, "VMware shared folder"],
  [0x7c7c6673, "Parallels shared folder"],
]);

/** What follows `fuse.` in the table of mounts, for the FUSE file systems that are local disks. */
const LOCAL_FUSE: ReadonlySet<string> = new Set([
  "fuseblk",
  "fuse.ntfs-3g",
  "fuse.ntfs",
  "fuse.exfat",
  "fuse.ext2",
  "fuse.zfs",
  "fuse.bindfs",
  "fuse.mergerfs",
  "fuse.encfs",
  "fuse.gocryptfs",
  "fuse.cryfs",
  "fuse.fuse-overlayfs",
]);

/** The magic number of the file system that holds `path`, as 32 unsigned bits. */
export function magicOf(path: string): number {
  return statfsSync(path).type >>> 0;
}

/** The name of the shared file system that `magic` says, or undefined for one that is this machine's own. */
export function sharedFileSystem(path: string, magic: number): string | undefined {
  if (magic !== FUSE_MAGIC) return SHARED_FILE_SYSTEMS.get(magic);
  const type = mountTypeOf(path);
  return type !== undefined && LOCAL_FUSE.has(type) ? undefined : (type ?? "FUSE");
}

/** The type that the table of mounts gives the device of `path`; undefined where there is no such table. */
function mountTypeOf(path: string): string | undefined {
  try {
    const device = deviceText(statSync(path, { bigint: true }).dev);
    const line = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .find((line) => line.split(" ")[2] === device);
    return line?.split(" - ")[1]?.split(" ")[0];
  } catch {
    return undefined;
  }
}

/** `major:minor` of a device number, in decimals, as Linux packs the two. */
export function deviceText(device: bigint): string {
  const [major, minor] = splitDevice(device);
  return `${major}:${minor}`;
}

/** Major and minor part of a device number, as Linux packs the two. */
export function splitDevice(device: bigint): readonly [major: number, minor: number] {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return [Number(major), Number(minor)];
}
