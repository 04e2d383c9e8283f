import { HeaderLines } from "./codec.ts";
import type { Session } from "./session.ts";

/** As long as a server runs and nobody asks, it is asked about once more. */
const KEPT = new HeaderLines().add("Nats-TTL", `${30 * 24 * 3600}s`);

/**
 * How long the server has run that the connection goes to, as far as anybody has noticed. No server tells; a young one may have
 * forgotten what it handed out last, and those who had it in hand may not have written that down yet.
 */
export class ServerRun {
  readonly #session: Session;
  /** In which run the stream was made: that one has forgotten nothing. */
  madeIn: string | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Milliseconds; Infinity where there is nothing that could be forgotten. The first to ask writes down that it began. */
  async age(): Promise<number> {
    const { api, clock, link, names } = this.#session;
    const { serverId } = link;
    if (serverId === this.madeIn) return Infinity;
    const subject = names.run(serverId);
    const noticed = await api.message(names.records, { last_by_subj: subject });
    if (noticed !== undefined) return Math.max(0, clock.now() - noticed.storedAt);
    await api.store(subject, "{}", KEPT);
    return 0;
  }
}
