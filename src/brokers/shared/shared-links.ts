interface Openable {
  open(): Promise<unknown>;
  close(): unknown;
}

interface Entry<L> {
  readonly links: L;
  readonly opening: Promise<unknown>;
  users: number;
}

/** Connections that several brokers of a process use. */
export interface Held<L> {
  readonly links: L;
  /** Lets go; the last one closes the connections. */
  readonly release: () => Promise<void>;
}

/** Brokers of one process share the connections to one server: ten thousand agents cost as many as one. */
export class SharedLinks<L extends { readonly [Name in keyof L]: Openable }> {
  readonly #entries = new Map<string, Entry<L>>();

  /** `settings`: everything in which a connection differs from another. `make`: called where nobody holds such connections. */
  async acquire(settings: readonly unknown[], make: () => Promise<L>): Promise<Held<L>> {
    const name = JSON.stringify(settings);
    const entry = this.#entries.get(name) ?? this.#add(name, await make());
    entry.users++;
    let isHeld = true;
    const release = async (): Promise<void> => {
      if (!isHeld) return;
      isHeld = false;
      if (--entry.users === 0) await this.#end(name, entry);
    };
    try {
      await entry.opening;
    } catch (error) {
      this.#forget(name, entry);
      await release();
      throw error;
    }
    return { links: entry.links, release };
  }

  /** What was made meanwhile is used; the new ones are not open yet. */
  #add(name: string, links: L): Entry<L> {
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    const opening = Promise.all(all(links).map((link) => link.open()));
    const entry = { links, opening, users: 0 };
    this.#entries.set(name, entry);
    return entry;
  }

  async #end(name: string, entry: Entry<L>): Promise<void> {
    this.#forget(name, entry);
    await Promise.all(all(entry.links).map((link) => link.close()));
  }

  #forget(name: string, entry: Entry<L>): void {
    if (this.#entries.get(name) === entry) this.#entries.delete(name);
  }
}

function all(links: object): Openable[] {
  return Object.values(links) as Openable[];
}
