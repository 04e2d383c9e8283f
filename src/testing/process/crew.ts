import type { HistoryEntry, HistoryEvent } from "../checker/history.ts";
import type { Address } from "../conformance/harness.ts";
import { ChildProcess, type ChildEnd, type ChildLine } from "./child-process.ts";
import { machineMs } from "./event-lines.ts";
import { EventMerge } from "./merge.ts";
import type { Crash, ConsumerRole, PublisherRole, RequesterRole, ResponderRole } from "./spec.ts";
import { WriterBook } from "./writer-book.ts";

/** What the processes of a run share. */
export interface CrewOptions {
  /** URL of the `ChildModule`. */
  readonly module: string;
  readonly place: string;
  /** Reach the server here. */
  readonly address?: Address;
  /** Where the history goes, in the order things happened. */
  readonly emit: (event: HistoryEvent) => void;
  /** Told of every event as it arrives, before the others of its time. */
  readonly heard?: (event: HistoryEvent) => void;
  /** How many processes are kept warm for those that die. Default 1. */
  readonly warm?: number;
}

/** What a process is started as. What a publisher goes on from is known to the crew. */
export type CrewRole =
  | ConsumerRole
  | RequesterRole
  | ResponderRole
  | Omit<PublisherRole, "first" | "again" | "granted">;

/** How a process is started. */
export interface MemberOptions {
  readonly crash?: Crash;
  readonly address?: Address;
  readonly heapMb?: number;
}

const READY_WITHIN_MS = 30_000;

/** The processes of one run: started, told, hurt, and their lines made into one history. */
export class Crew {
  /** What the epoch was when the machine's monotonic clock was 0. */
  readonly #epochMs = Date.now() - machineMs();
  readonly #options: CrewOptions;
  readonly #merge: EventMerge;
  readonly #members = new Set<Member>();
  readonly #writers = new Map<string, WriterBook>();
  readonly #warm: ChildProcess[] = [];
  #started = 0;
  #isOver = false;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#merge = new EventMerge(() => this.now(), options.emit);
  }

  /** Epoch milliseconds as every process of the run tells them. */
  now(): number {
    return this.#epochMs + machineMs();
  }

  /** Those that run. */
  get members(): readonly Member[] {
    return [...this.#members];
  }

  /** Adds to the history what the parent does and sees. */
  note(entry: HistoryEntry): void {
    this.#add({ ...entry, at: this.now() });
  }

  /** What is known of a writer. */
  writer(name: string): WriterBook {
    let book = this.#writers.get(name);
    if (book === undefined) this.#writers.set(name, (book = new WriterBook()));
    return book;
  }

  /** Starts a process; resolves when its service stands. Rejects when it ends before, unless it was made to die. */
  async start(role: CrewRole, options: MemberOptions = {}): Promise<Member> {
    const child = this.#child(options.heapMb);
    const member = new Member(child, `c${++this.#started}`, role);
    this.#members.add(member);
    void child.ended.then(() => this.#ended(member));
    const { crash, address = this.#options.address } = options;
    child.begin(
      {
        module: this.#options.module,
        place: this.#options.place,
        ...(address === undefined ? {} : { address }),
        name: member.name,
        epochMs: this.#epochMs,
        role: this.#whole(role),
        ...(crash === undefined ? {} : { crash }),
      },
      (line) => this.#heard(member, line),
    );
    await member.stands(READY_WITHIN_MS, crash !== undefined);
    return member;
  }

  /** Lets a writer publish so many more. */
  grant(writer: string, count: number): void {
    this.writer(writer).granted += count;
    for (const { role, child } of this.#members)
      if (role.kind === "publisher" && role.writer === writer) child.order({ grant: count });
  }

  /** Kills everything that runs, and emits what is left of the history. */
  async end(): Promise<void> {
    this.#isOver = true;
    const children = [...[...this.#members].map(({ child }) => child), ...this.#warm];
    for (const child of children) {
      child.signal("SIGKILL");
      await child.ended;
    }
    this.#merge.end();
  }

  #child(heapMb: number | undefined): ChildProcess {
    const { module, warm = 1 } = this.#options;
    if (heapMb !== undefined) return new ChildProcess(module, heapMb);
    const child = this.#warm.shift() ?? new ChildProcess(module, undefined);
    while (this.#warm.length < warm) this.#warm.push(new ChildProcess(module, undefined));
    return child;
  }

  #whole(role: CrewRole): ConsumerRole | RequesterRole | ResponderRole | PublisherRole {
    if (role.kind !== "publisher") return role;
    const book = this.writer(role.writer);
    return { ...role, first: book.next, again: book.open(), granted: book.granted - book.next };
  }

  #heard(member: Member, line: ChildLine): void {
    member.heard(line);
    if (line.type === "ready" || line.type === "finished" || line.type === "answered") return;
    if (member.role.kind === "publisher") this.#book(member.role, line);
    this.#add(line);
  }

  #add(event: HistoryEvent): void {
    this.#options.heard?.(event);
    this.#merge.add(event);
  }

  #book({ writer, dedupe }: { readonly writer: string; readonly dedupe: boolean }, line: HistoryEvent): void {
    const book = this.writer(writer);
    if (line.type === "pub.invoke") book.invoked(counterOf(line.id));
    else if (line.type === "pub.ok") book.answered(counterOf(line.id), true);
    else if (line.type === "pub.fail") book.answered(counterOf(line.id), false);
    else if (line.type === "pub.info") book.answered(counterOf(line.id), !dedupe);
  }

  #ended(member: Member): void {
    this.#members.delete(member);
    const { role } = member;
    if (role.kind !== "publisher" || this.#isOver) return;
    const book = this.writer(role.writer);
    for (const counter of book.died()) {
      this.note({ type: "pub.info", id: `${role.writer}-${counter}`, code: "KILLED" });
      if (!role.dedupe) book.answered(counter, true);
    }
  }
}

/** One process of a crew. */
export class Member {
  readonly child: ChildProcess;
  readonly name: string;
  readonly role: CrewRole;
  readonly #watchers = new Set<(line: ChildLine) => void>();
  #isAsked = false;

  constructor(child: ChildProcess, name: string, role: CrewRole) {
    this.child = child;
    this.name = name;
    this.role = role;
  }

  /** Its end, when it comes. */
  get ended(): Promise<ChildEnd> {
    return this.child.ended;
  }

  heard(line: ChildLine): void {
    for (const watcher of this.#watchers) watcher(line);
  }

  /** Resolves with the first line that `matches`; undefined when the process ends before. */
  next(matches: (line: ChildLine) => boolean): Promise<ChildLine | undefined> {
    return new Promise((resolve) => {
      const found = (line?: ChildLine) => {
        this.#watchers.delete(watcher);
        resolve(line);
      };
      const watcher = (line: ChildLine) => void (matches(line) && found(line));
      this.#watchers.add(watcher);
      void this.ended.then(() => found());
    });
  }

  /** True once it was asked to stop. */
  get isAsked(): boolean {
    return this.#isAsked;
  }

  /** SIGTERM: it stops its service and ends with 0; resolves when it is gone. */
  async stop(): Promise<ChildEnd> {
    this.#isAsked = true;
    this.child.signal("SIGTERM");
    return this.ended;
  }

  /** SIGKILL; resolves when it is gone and everything it said has been read. */
  async kill(): Promise<void> {
    this.child.signal("SIGKILL");
    await this.ended;
  }

  /** Resolves when its service stands, or when it died and may. */
  async stands(withinMs: number, mayDie: boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => (timer = setTimeout(() => resolve("late"), withinMs)));
    const first = await Promise.race([this.next(({ type }) => type === "ready"), late]);
    clearTimeout(timer);
    if (first === "late") this.child.signal("SIGKILL");
    else if (first !== undefined) return;
    const { code, signal } = await this.ended;
    if (mayDie && first !== "late" && signal === "SIGKILL") return;
    throw new Error(
      `Process ${this.name} (${this.role.kind}) ended with ${signal ?? code} before it stood: ${this.child.stderr}`,
    );
  }
}

function counterOf(id: string): number {
  return Number(id.slice(id.lastIndexOf("-") + 1));
}
