import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CoordinationMode,
  FailoverBroker,
  FileBroker,
  MessagingService,
  RedisBroker,
} from "../../src/index.ts";

/** A Redis that may be killed and started again; it keeps what it acknowledged. */
export interface Server {
  readonly url: string;
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** What is sent through it. */
export interface RunOptions {
  readonly server: Server;
  /** Where the files of the fallback lie. */
  readonly directory: string;
  readonly messages: number;
  readonly perSecond: number;
  /** Told what happens. */
  readonly say: (line: string) => void;
}

/** What came of a run. */
export interface Outcome {
  /** Publishes that were acknowledged. */
  readonly acknowledged: number;
  /** Publishes that were refused: none of them is lost, whoever published knows. */
  readonly refused: number;
  readonly handled: number;
  /** Messages that were handled more than once. */
  readonly twice: number;
  /** Acknowledged, and never handled. */
  readonly lost: number;
  /** Acknowledged while the server was dead. */
  readonly whileDead: number;
  /** The longest that a publish took, milliseconds. */
  readonly slowestMs: number;
  /** Modes of the publisher, in order. */
  readonly modes: readonly string[];
  /** What still lies in files at the end and has not been handed to Redis. */
  readonly undrained: number;
}

/** Decided more quickly than in production, so that there is something to see. */
const COORDINATION = {
  healthCheckInterval: 250,
  retryInterval: 100,
  holdDownMs: 500,
  transitionCooldown: 250,
};
const CHANNEL = "orders.created";

/** What was said to the publisher. */
interface Sent {
  readonly acknowledged: ReadonlySet<number>;
  readonly refused: number;
  readonly whileDead: number;
  readonly slowestMs: number;
}

/** Sends at an even pace, kills the server at a third of it, starts it again at two thirds, and counts. */
export async function runFailover(options: RunOptions): Promise<Outcome> {
  const [sending, receiving] = [pair(options), pair(options)];
  const shop = new MessagingService({ agentId: "shop", broker: sending });
  const packer = new MessagingService({ agentId: "packer", broker: receiving });
  await Promise.all([shop.start(), packer.start()]);
  const handled = new Map<number, number>();
  await packer.subscribe<{ n: number }>(CHANNEL, ({ payload: { n } }) => {
    handled.set(n, (handled.get(n) ?? 0) + 1);
  });
  const modes: string[] = [sending.control.mode];
  sending.coordination.on("modeChanged", (_from, to) => {
    modes.push(to);
    options.say(`the publisher is ${to}`);
  });

  const { acknowledged, ...sent } = await send(shop, options);
  const undrained = await settled(sending, () => handled.size >= acknowledged.size);
  await Promise.all([shop.stop(), packer.stop()]);

  return {
    ...sent,
    acknowledged: acknowledged.size,
    handled: handled.size,
    twice: [...handled.values()].filter((count) => count > 1).length,
    lost: [...acknowledged].filter((n) => !handled.has(n)).length,
    modes,
    undrained,
  };
}

async function send(shop: MessagingService, { server, messages, perSecond, say }: RunOptions): Promise<Sent> {
  const acknowledged = new Set<number>();
  const publishes: Promise<void>[] = [];
  let isDead = false;
  let [refused, whileDead, slowestMs] = [0, 0, 0];
  const publish = async (n: number): Promise<void> => {
    const startedAt = performance.now();
    try {
      await shop.publish(CHANNEL, { n });
      acknowledged.add(n);
      if (isDead) whileDead++;
    } catch {
      refused++;
    }
    slowestMs = Math.max(slowestMs, Math.round(performance.now() - startedAt));
  };
  for (let n = 0; n < messages; n++) {
    publishes.push(publish(n));
    if (n === Math.floor(messages / 3)) {
      await server.kill();
      isDead = true;
      say(`Redis is killed after ${n} messages`);
    }
    if (n === Math.floor((2 * messages) / 3)) {
      await server.start();
      isDead = false;
      say(`Redis runs again after ${n} messages`);
    }
    await sleep(1000 / perSecond);
  }
  await Promise.all(publishes);
  return { acknowledged, refused, whileDead, slowestMs };
}

/** Redis, and files while it is away. Each process has one of its own; they share the server and the folder. */
function pair({ server, directory }: RunOptions): FailoverBroker {
  return new FailoverBroker({
    primary: new RedisBroker({ url: server.url, namespace: path.basename(directory) }),
    fallback: new FileBroker({ directory }),
    coordination: COORDINATION,
  });
}

/** Waits until publishers write to Redis again, Redis has got what lay in files, and everything is handled; not for ever. */
async function settled(broker: FailoverBroker, isHandled: () => boolean): Promise<number> {
  const patience = performance.now() + 60_000;
  for (;;) {
    const { undrained } = await broker.control.counts();
    const isBack = broker.control.mode !== CoordinationMode.ISOLATED && undrained === 0 && isHandled();
    if (isBack || performance.now() > patience) return undrained;
    await sleep(50);
  }
}
