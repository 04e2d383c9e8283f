import { expect, it } from "vitest";
import { HeraldError } from "../../src/core/errors.ts";
import type { Inbox } from "../../src/core/store.ts";
import { FailoverInbox } from "../../src/brokers/failover/inbox.ts";
import { MemoryInbox } from "../../src/stores/memory-inbox.ts";

function inboxOver(primary: Inbox, fallback: Inbox, isPrimaryUp: () => boolean = () => true) {
  return new FailoverInbox(
    { primary, fallback },
    { isPrimaryUp, within: (promise) => promise, primaryFailed: () => undefined },
  );
}

function failoverInbox() {
  const sides = { primary: new MemoryInbox({}), fallback: new MemoryInbox({}) };
  const primary = { isUp: true };
  return { inbox: inboxOver(sides.primary, sides.fallback, () => primary.isUp), primary, sides };
}

it("lets go of an id on the primary when that is back: a run that failed meanwhile is not the last", async () => {
  const { inbox, primary } = failoverInbox();
  expect(await inbox.claim("g", "m")).toBe("new");
  primary.isUp = false;
  await inbox.abandon("g", "m");
  primary.isUp = true;
  await inbox.settleDebts();

  expect(await inbox.claim("g", "m")).toBe("new");
});

it("takes nothing on the primary from others when what it never claimed there is given up", async () => {
  const { inbox, primary, sides } = failoverInbox();
  primary.isUp = false;
  expect(await inbox.claim("g", "m")).toBe("new");
  primary.isUp = true;
  expect(sides.primary.claim("g", "m")).toBe("new");
  await inbox.abandon("g", "m");

  expect(sides.primary.claim("g", "m")).toBe("busy");
});

it("does not begin what another process ended while the primary kept it waiting", async () => {
  const { inbox, sides } = failoverInbox();
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow: Inbox = {
    claim: () => promise.then(() => "new" as const),
    commit: () => undefined,
    abandon: () => undefined,
  };
  const other = inboxOver(slow, sides.fallback);
  const claimed = other.claim("g", "m");
  expect(await inbox.claim("g", "m")).toBe("new");
  await inbox.commit("g", "m");
  resolve();

  expect(await claimed).toBe("done");
});

it("holds nothing on the primary of what the fallback knows to be done", async () => {
  const { inbox, sides } = failoverInbox();
  sides.fallback.claim("g", "m");
  sides.fallback.commit("g", "m");
  expect(await inbox.claim("g", "m")).toBe("done");

  expect(sides.primary.claim("g", "m")).toBe("new");
});

it("holds nothing on the primary when the fallback rejects", async () => {
  const { sides } = failoverInbox();
  const full: Inbox = {
    claim: () => Promise.reject(new HeraldError("STORAGE_FULL", "Full.")),
    commit: () => undefined,
    abandon: () => undefined,
  };
  const inbox = inboxOver(sides.primary, full);
  await expect(inbox.claim("g", "m")).rejects.toThrow("Full.");

  expect(sides.primary.claim("g", "m")).toBe("new");
});
