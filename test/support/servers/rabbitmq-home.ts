import { chmodSync, existsSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { installedByApt } from "./apt.ts";
import { debianTree } from "./debian-tree.ts";
import { firstFound, onPath, versionIn, type Found } from "./found.ts";
import { withOwnLibraries } from "./own-libraries.ts";

/** What a RabbitMQ is started from. */
export interface RabbitHome {
  /** The script that becomes the server's process. */
  readonly server: string;
  /** What the PATH begins with, so that its own Erlang is found. */
  readonly path: string;
}

// Quorum queues as people run them today: a delivery limit, and no mirrored queues beside them.
const GOOD = versionIn("4.0");
const ERLANG = "usr/lib/erlang";
const PACKAGES =
  "rabbitmq-server libc6 libgcc-s1 libssl3t64 libstdc++6 libtinfo6 libzstd1 zlib1g erlang-asn1 erlang-base erlang-crypto " +
  "erlang-eldap erlang-inets erlang-mnesia erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools " +
  "erlang-ssl erlang-syntax-tools erlang-tools erlang-xmerl";

let found: Found<RabbitHome> | undefined;

/**
 * A RabbitMQ 4: the machine's, or that of Debian 13, unpacked and not installed; else the machine's older one, which is
 * installed where that takes no more than being root on Debian.
 */
export function rabbitmqHome(): Found<RabbitHome> {
  found ??= firstFound([() => present(GOOD), unpacked, () => present(0), installed]);
  return found;
}

/** Debian's `rabbitmq-server` on the PATH changes the user and the folders; the server's own script lies elsewhere. */
function present(atLeast: number): Found<RabbitHome> {
  const script = ["/usr/lib/rabbitmq/bin/rabbitmq-server", onPath("rabbitmq-server")].find(
    (file) => file !== undefined && existsSync(file),
  );
  if (script === undefined) return { why: "there is no rabbitmq-server on the PATH" };
  const server = realpathSync(script);
  const version = versionIn(/rabbitmq_server-[\d.]+/.exec(server)?.[0] ?? "");
  if (atLeast > 0 && !(version >= atLeast)) return { why: "the machine's RabbitMQ is an old one" };
  return { server, path: "" };
}

function unpacked(): Found<RabbitHome> {
  const tree = debianTree("rabbitmq", PACKAGES.split(" "), finish);
  const [version = ""] = readdirSync(path.join(tree, "usr/lib/rabbitmq/lib"));
  const server = path.join(tree, "usr/lib/rabbitmq/lib", version, "sbin/rabbitmq-server");
  return { server, path: path.join(tree, ERLANG, "bin") };
}

function finish(draft: string, home: string): void {
  withOwnLibraries(draft, ERLANG, home);
  const root = path.join(home, ERLANG);
  const [erts = ""] = readdirSync(path.join(draft, ERLANG)).filter((name) => name.startsWith("erts-"));
  const bin = path.join(root, erts, "bin");
  const script = path.join(draft, ERLANG, "bin/erl");
  const places = `ROOTDIR="${root}" BINDIR="${bin}" EMU=beam PROGNAME=erl`;
  writeFileSync(script, `#!/bin/sh\nexport ${places}\nexec "${path.join(bin, "erlexec")}" "$@"\n`);
  chmodSync(script, 0o755);
}

function installed(): Found<RabbitHome> {
  const own = { packages: ["rabbitmq-server"], services: ["rabbitmq-server", "epmd"] };
  return installedByApt("rabbitmq-server", own, () => present(0));
}
