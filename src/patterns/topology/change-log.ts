import type { BrokerAdmin } from "../../core/broker.ts";
import { once } from "../../core/once.ts";
import { SharedLook } from "../../core/shared-look.ts";
import { adminOf, type Messaging } from "../messaging.ts";
import { Layout, type Change } from "./layout.ts";

/** Where the changes of all processes stand in the order in which they were made. */
export const CHANGES = "herald.topology";
/** All changes have one key, so that they stay in order on a broker that spreads a channel. */
const KEY = "topology";
const HEADER = "x-topology";
/** What each change names. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  createExchange: ["exchange", "type"],
  deleteExchange: ["exchange"],
  createQueue: ["queue"],
  deleteQueue: ["queue"],
  bind: ["queue", "exchange", "key"],
  unbind: ["queue", "exchange", "key"],
};
const KEPT_MS = 10 * 365 * 86_400_000;
const PAGE = 500;

/**
 * The layout that all processes of a broker share, as a row of changes on one of its channels. Whoever asks reads what is new
 * first: what another process has done before is never overlooked.
 */
export class ChangeLog {
  readonly #messaging: Messaging;
  readonly #layout = new Layout();
  readonly #declared: () => Promise<void>;
  readonly #news = new SharedLook(() => this.#read());
  #after: string | undefined;

  constructor(messaging: Messaging) {
    this.#messaging = messaging;
    this.#declared = once(() => this.admin.declare(CHANGES, { retentionMs: KEPT_MS }));
  }

  /** Throws `UNSUPPORTED` where the broker cannot look after channels. */
  get admin(): BrokerAdmin {
    return adminOf(this.#messaging.broker, "it can have no queues and exchanges");
  }

  /** The layout as it was at some moment after this call. Those who ask meanwhile share one look. */
  async read(): Promise<Layout> {
    await this.#declared();
    await this.#news.look();
    return this.#layout;
  }

  /** Resolves, with the layout, once everybody who looks sees it. What was so already is not written again. */
  async write(change: Change): Promise<Layout> {
    const layout = await this.read();
    if (!layout.isNews(change)) return layout;
    await this.#messaging.broker.note(CHANGES, KEY, { [HEADER]: JSON.stringify(change) });
    return this.read();
  }

  async #read(): Promise<void> {
    for (;;) {
      const after = this.#after === undefined ? {} : { after: this.#after };
      const page = await this.admin.browse(CHANGES, { ...after, limit: PAGE });
      for (const { envelope, position } of page) {
        const change = readChange(envelope.headers[HEADER]);
        if (change !== undefined) this.#layout.apply(change);
        this.#after = position;
      }
      if (page.length < PAGE) return;
    }
  }
}

/** Undefined for what is no change: anybody may publish on the channel. */
function readChange(text: string | undefined): Change | undefined {
  try {
    const change = JSON.parse(text ?? "null") as Partial<Record<string, unknown>> | null;
    const fields = FIELDS[String(change?.["do"])];
    return fields?.every((field) => typeof change?.[field] === "string") === true
      ? (change as Change)
      : undefined;
  } catch {
    return undefined;
  }
}
