import type { Address } from "../../src/testing/conformance/harness.ts";

/** URL of a child module beside this one that reaches a server at an address. */
export function childAt(module: string, { host, port }: Address): URL {
  return new URL(`${module}?host=${encodeURIComponent(host)}&port=${port}`, import.meta.url);
}

/** URL of a child module beside this one that reaches a cluster. */
export function childAtAll(module: string, [first, ...others]: readonly Address[]): URL {
  const url = childAt(module, first as Address);
  for (const { host, port } of others) url.searchParams.append("other", `${host}:${port}`);
  return url;
}

/** The other servers of the cluster that a child module was asked for by {@link childAtAll}, as `host:port`. */
export function othersOf(url: string): readonly string[] {
  return new URL(url).searchParams.getAll("other");
}

/** The address that a child module was asked for by {@link childAt}. */
export function addressOf(url: string): Address {
  const asked = new URL(url).searchParams;
  return { host: asked.get("host") ?? "127.0.0.1", port: Number(asked.get("port")) };
}
