import type { ConformanceCase } from "../case.ts";
import type { Need } from "../harness.ts";

/**
 * Cases of the published list that need what no broker here has yet: processes to kill, servers to restart, transactions.
 * They stand in every report with the ability they need. A broker that claims the ability fails them until they are written:
 * a claim that is not proven is a failure. Two cases of that list are not here: i07-tail and i08-power know one technology's
 * files, and are tests of the file broker (test/brokers/file-storage.test.ts, file-power.test.ts).
 */
const DECLARED: readonly (readonly [id: string, needs: readonly Need[], title: string])[] = [
  ["c12-ack-after-lease-lost", ["lease", "tx"], "a late effect is refused after its lease was lost"],
  ["e04-saga-complete", ["saga"], "the steps of a saga run in order, its state visible at each"],
  ["e05-saga-compensate", ["saga"], "a step that fails for good is compensated in reverse, once each"],
  ["e06-saga-crash", ["saga", "persist"], "a saga killed at any point ends completed or fully compensated"],
  ["e07-events-append", ["events"], "of fifty writers with one expected version exactly one wins"],
  [
    "e08-events-replay",
    ["events", "persist"],
    "the state from replay equals the live state after twenty crashes",
  ],
  ["f04-crash-points", ["tx"], "a crash at any point of publishing or consuming leaves one effect"],
  [
    "f05-consume-produce",
    ["tx"],
    "a pipeline of three hops under kills puts out exactly what its input maps to",
  ],
  ["k01-acl", ["security"], "what a principal may not do is refused, and nothing is stored"],
  ["k02-encrypt", ["security"], "no byte of plaintext lies at rest or on the wire"],
  ["k03-rotate", ["security"], "keys rotate under load and old messages stay readable"],
  ["k04-tamper", ["security"], "no changed byte is ever delivered"],
  ["k05-replay", ["security"], "a captured message that is sent again is dropped and counted"],
];

/** Cases that are named here and not written yet. */
export const declaredCases: readonly ConformanceCase[] = DECLARED.map(([id, needs, title]) => ({
  id,
  group: id.charAt(0).toUpperCase(),
  title,
  needs,
  acked: 0,
  run: () =>
    Promise.reject(
      new Error(
        `The broker has ${needs.join(" and ")}, and this case has no body yet: write it with the broker.`,
      ),
    ),
}));
