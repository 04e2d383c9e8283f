import type { Keys, Lane } from "./keys.ts";
import type { Link } from "./link.ts";

/** What processes tell each other over the wake channel. */
export type Wake =
  /** Entries were added to a lane. */
  | { readonly kind: "w"; readonly channel: string; readonly lane: Lane }
  /** Entries were given back to a group. */
  | { readonly kind: "r"; readonly channel: string; readonly group: string }
  /** Something of the channel is due in so many ms. */
  | { readonly kind: "d"; readonly channel: string; readonly delayMs: number }
  /** The channel is new. */
  | { readonly kind: "c"; readonly channel: string }
  /** The channel was removed. */
  | { readonly kind: "x"; readonly channel: string };

/** Wake-ups between processes. This process hears its own at once, without Redis. */
export class Wakes {
  readonly #link: Link;
  readonly #keys: Keys;
  readonly #origin: string;
  readonly #heard: (wake: Wake) => void;

  /** `heard` is told of every wake-up, of other processes and of this one. */
  constructor(link: Link, keys: Keys, origin: string, heard: (wake: Wake) => void) {
    this.#link = link;
    this.#keys = keys;
    this.#origin = origin;
    this.#heard = heard;
  }

  /** Tells every process, this one at once. Over the connection for commands: behind what was written before. */
  tell(wake: Wake): void {
    const detail =
      wake.kind === "w"
        ? wake.lane
        : wake.kind === "r"
          ? wake.group
          : wake.kind === "d"
            ? String(wake.delayMs)
            : "";
    const message = `${wake.kind} ${this.#origin} ${wake.channel} ${detail}`;
    // A wake-up that is lost is made good by the next look.
    this.#link.send("", ["PUBLISH", this.#keys.wake, message]).catch(() => {});
    this.#heard(wake);
  }

  readonly listener = (message: string): void => {
    const match = /^([wrdcx]) (\S+) (\S+) (.*)$/s.exec(message);
    if (match === null || match[2] === this.#origin) return;
    const [, kind, , channel = "", detail = ""] = match;
    if (kind === "w") this.#heard({ kind, channel, lane: detail });
    else if (kind === "r") this.#heard({ kind, channel, group: detail });
    else if (kind === "d") this.#heard({ kind, channel, delayMs: Number(detail) || 0 });
    else if (kind === "c" || kind === "x") this.#heard({ kind, channel });
  };
}
