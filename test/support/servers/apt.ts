import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { cacheFolder, underLock } from "./cache.ts";
import { outputOf, type Found } from "./found.ts";

const POLICY = "/usr/sbin/policy-rc.d";

/** Why packages cannot be installed on this machine; undefined when they can. */
export function whyNoApt(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can install it";
  return existsSync("/etc/debian_version") ? undefined : "this is no Debian to install it on";
}

/**
 * Installs packages of the machine's Debian. Their services are forbidden to start while that lasts, and those named do not
 * start with the machine either. Throws when it fails.
 */
export function aptInstall(packages: readonly string[], services: readonly string[] = []): void {
  underLock(cacheFolder("apt"), () => {
    const isOurs = !existsSync(POLICY);
    if (isOurs) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    try {
      installed(packages);
      for (const service of services) spawnSync("systemctl", ["disable", service]);
    } finally {
      if (isOurs) rmSync(POLICY, { force: true });
    }
  });
}

/** What a program is started from once its packages are installed, or why they are not. Throws when installing them fails. */
export function installedByApt<T extends object>(
  program: string,
  { packages, services }: { readonly packages: readonly string[]; readonly services: readonly string[] },
  present: () => Found<T>,
): Found<T> {
  const why = whyNoApt();
  if (why !== undefined) return { why: `there is no ${program} on the PATH, and ${why}` } as Found<T>;
  aptInstall(packages, services);
  return present();
}

function installed(packages: readonly string[]): void {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const install = () =>
    outputOf("apt-get", ["install", "-y", "-o", "DPkg::Lock::Timeout=300", ...packages], { env });
  try {
    install();
  } catch {
    // The lists of a new machine are empty, and those of an old one name what is no longer there.
    outputOf("apt-get", ["update"], { env });
    install();
  }
}
