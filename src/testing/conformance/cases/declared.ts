import type { ConformanceCase } from "../case.ts";
import type { Need } from "../harness.ts";

/**
 * Cases of the published list that need what no broker here has yet: processes to kill, servers to restart, transactions.
 * They stand in every report with the ability they need. A broker that claims the ability fails them until they are written:
 * a claim that is not proven is a failure.
 */
const DECLARED: readonly (readonly [id: string, needs: readonly Need[], title: string])[] = [
  ["b08-no-consumer-leak", ["server"], "two hundred restarts under new names leave no consumer registered"],
  [
    "c07-dlq-atomic",
    ["persist", "xproc"],
    "a kill between writing a dead letter and acknowledging leaves one dead letter",
  ],
  [
    "c10-poison-crash",
    ["persist", "xproc"],
    "a message that kills its process ends in the dead letters, and the others are handled",
  ],
  ["c12-ack-after-lease-lost", ["lease", "tx"], "a late effect is refused after its lease was lost"],
  ["d05-delay-restart", ["persist"], "delayed messages survive a restart"],
  [
    "e03-requester-dies",
    ["persist"],
    "a thousand dead requesters leave no reply channel, and no responder retries for ever",
  ],
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
  ["f06-zombie", ["lease", "xproc"], "a paused consumer that wakes after its lease commits nothing"],
  ["h02-sigterm-load", ["persist", "xproc"], "fifty terminations under load end in time and lose nothing"],
  [
    "i01-publisher-kill9",
    ["persist", "xproc"],
    "killed publishers lose nothing acknowledged and invent nothing",
  ],
  ["i02-consumer-kill9", ["persist", "xproc"], "killed consumers lose nothing, and effects take place once"],
  [
    "i03-server-kill9",
    ["server"],
    "a killed server keeps what its durability promises, and clients return within a second",
  ],
  ["i04-network", ["server"], "resets, half-open links and delays lose nothing"],
  ["i05-pause", ["server"], "a paused server hangs no publish and doubles no effect"],
  ["i06-enospc", ["persist"], "a full disk is named, heals without a restart and loses nothing acknowledged"],
  ["i07-tail", ["persist"], "every cut and flipped bit at the end of the log is detected"],
  ["i08-power", ["persist"], "a power cut at any write keeps what was acknowledged"],
  ["i09-object-deleted", ["server"], "what an operator deletes is noticed and its loss counted"],
  ["i10-retention", ["server"], "trimming past unread messages is never silent"],
  ["i11-reconnect-storm", ["server"], "two hundred clients return within ten seconds without a storm"],
  ["j01-down", ["failover"], "the primary dies under load and traffic goes on"],
  ["j02-up", ["failover"], "the primary returns and gets what was written meanwhile, once, in order"],
  ["j03-flap", ["failover"], "three hundred switches lose nothing and double nothing"],
  ["j04-split-view", ["failover"], "one process cut off from the primary loses nothing"],
  ["j05-redis-back-empty", ["failover"], "a primary that returns empty is noticed and refilled"],
  ["j06-redis-back-old", ["failover"], "a primary that returns with old data doubles no effect"],
  ["j07-kill9-during-drain", ["failover"], "a kill at any step of handing back keeps every id once"],
  ["j08-manual-switch", ["failover"], "a switch by hand under load loses nothing"],
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
