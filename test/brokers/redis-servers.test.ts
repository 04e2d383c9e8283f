import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { envelope } from "../support/envelopes.ts";
import { RedisBench } from "../support/redis.ts";
import { ack, idsOf, take, until } from "../support/taking.ts";
import { startRedisCluster } from "../support/servers/redis-cluster.ts";
import { startRedisSentinels } from "../support/servers/redis-sentinel.ts";
import { startRedis } from "../support/servers/redis.ts";
import { freePorts } from "../support/servers/server-process.ts";
import { whenRedis } from "../support/servers/when.ts";

const FAR = "20991231000000Z";
const spec = { pattern: "c", group: "g", prefetch: 100 };
const now = (init: Parameters<typeof envelope>[0] = {}) => envelope({ time: Date.now(), ...init });

whenRedis("a Redis broker on more than one plain server", () => {
  const bench = new RedisBench();
  afterEach(() => bench.cleanUp());

  it("works on a cluster: every kind of message, over channels in every node", async () => {
    const cluster = await startRedisCluster();
    bench.after(() => cluster.stop());
    const nodes = cluster.nodes.map(({ address }) => address);
    const broker = await bench.opened({ url: cluster.nodes[0]?.url ?? "", cluster: { nodes } });
    const wide = await broker.subscribe({ ...spec, pattern: "shop.#", prefetch: 1000 });
    const listener = await broker.subscribe({ ...spec, pattern: "shop.#", group: null, prefetch: 1000 });
    const sent = Array.from({ length: 60 }, (_none, n) => {
      const kind = [{}, { key: `k${n}` }, { priority: 5 }, { deliverAt: Date.now() + 200 }][n % 4];
      return now({ id: `m${n}`, channel: `shop.c${n % 12}`, ...kind });
    });
    const results = await broker.publish(sent);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(await broker.publish([sent[0]!], { dedupe: true })).toMatchObject([
      { ok: true, deduplicated: false },
    ]);
    expect(await broker.publish([sent[0]!], { dedupe: true })).toMatchObject([
      { ok: true, deduplicated: true },
    ]);

    const found = await take(wide, 61);
    expect(new Set(idsOf(found)).size).toBe(60);
    const [one, ...others] = found;
    await wide.settle([{ kind: "nack", delivery: one!, delayMs: 50 }]);
    await ack(wide, others);
    expect((await take(wide, 1))[0]).toMatchObject({ attempt: 2, envelope: { id: one?.envelope.id } });
    expect(new Set(idsOf(await take(listener, 61))).size).toBe(60);
    const stored = await Promise.all(cluster.nodes.map((node) => node.command("DBSIZE")));
    expect(stored.filter((keys) => Number(keys) > 2)).toHaveLength(3);
    const { channels } = await broker.inspect();
    expect(channels.filter(({ channel }) => channel.startsWith("shop."))).toHaveLength(12);
  });

  it("follows Sentinel to the server that took over, and sends nothing twice", async () => {
    const trio = await startRedisSentinels();
    bench.after(() => trio.stop());
    const nodes = trio.ports.map((port) => ({ host: "127.0.0.1", port }));
    const broker = await bench.opened({
      url: "redis://ignored",
      sentinel: { name: trio.name, nodes },
      maxReconnectMs: 200,
    });
    const subscription = await broker.subscribe(spec);
    await broker.publish([now({ id: "before" })]);
    await ack(subscription, await take(subscription, 1));
    // What the replica has not got is lost with the primary: replication is asynchronous, and no level above process is claimed for it.
    await until(async () => String(await trio.primary.command("INFO", "replication")).includes("lag=0"));
    await trio.primary.kill();

    await until(
      () =>
        broker.isConnected &&
        trio.replica.command("ROLE").then((role) => JSON.stringify(role).includes("master")),
    );
    await until(async () => (await broker.publish([now({ id: "after" })], { dedupe: true }))[0]?.ok === true);
    expect(idsOf(await take(subscription, 1))).toEqual(["after"]);
  });

  describe("over TLS", () => {
    /** A server with a certificate for `name` that is valid until then; its own authority. */
    async function secured(name: string, until: string) {
      const folder = mkdtempSync(path.join(tmpdir(), "herald-tls-"));
      bench.after(() => rmSync(folder, { recursive: true, force: true }));
      const [cert, key, request, config] = ["cert.pem", "key.pem", "request.pem", "ca.conf"].map((file) =>
        path.join(folder, file),
      ) as [string, string, string, string];
      const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "ignore" });
      writeFileSync(path.join(folder, "index"), "");
      writeFileSync(path.join(folder, "serial"), "01\n");
      writeFileSync(
        config,
        `[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=${folder}\ndatabase=${folder}/index\nserial=${folder}/serial\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n`,
      );
      const subject = ["-subj", "/CN=herald", "-addext", `subjectAltName=${name}`];
      openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, ...subject);
      const times = ["-startdate", "20200101000000Z", "-enddate", until];
      const signed = ["-in", request, "-keyfile", key, "-out", cert, "-notext"];
      openssl("ca", "-batch", "-selfsign", "-config", config, ...signed, ...times);
      const [tlsPort] = await freePorts(1);
      const directives = {
        "tls-port": String(tlsPort),
        "tls-cert-file": cert,
        "tls-key-file": key,
        "tls-ca-cert-file": cert,
        "tls-auth-clients": "no",
      };
      const server = await startRedis({ config: directives });
      bench.after(() => server.stop());
      return { url: `rediss://127.0.0.1:${tlsPort}`, ca: readFileSync(cert, "utf8") };
    }

    it("takes a server that its authority vouches for, and refuses it without", async () => {
      const { url, ca } = await secured("IP:127.0.0.1", FAR);
      const broker = await bench.opened({ url, tls: { ca } });
      expect(await broker.publish([now()])).toMatchObject([{ ok: true }]);

      await expect(bench.opened({ url })).rejects.toMatchObject({ code: "NOT_CONNECTED" });
      const faults = bench.told<{ where: string }>("herald:fault");
      await bench.opened({ url, tls: { insecure: true } });
      expect(faults.map(({ where }) => where)).toEqual(["redis tls"]);
    });

    it("refuses a certificate for another host", async () => {
      const { url, ca } = await secured("DNS:elsewhere.example", FAR);
      await expect(bench.opened({ url, tls: { ca } })).rejects.toThrow(/altnames|Host/i);
    });

    it("refuses a certificate whose time is over", async () => {
      const { url, ca } = await secured("IP:127.0.0.1", "20200102000000Z");
      await expect(bench.opened({ url, tls: { ca } })).rejects.toThrow(/expired/i);
    });
  });
});
