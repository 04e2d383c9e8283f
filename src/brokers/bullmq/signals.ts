import type { Clock, TimerHandle } from "../../core/clock.ts";
import { createId } from "../../core/ids.ts";
import type { Connection } from "./connection.ts";
import type { Line } from "./line.ts";
import type { Due } from "./publish.ts";

/** What of a signal is sent: who sends it, and the queues that have jobs with the moment each is due. */
type Signal = readonly [from: string, due: readonly (readonly [queue: string, dueAt: number])[]];

/** Queues that one question is about. */
const PORTION = 500;

/**
 * KEYS wait, prioritized, delayed and active of each queue. ARGV now. For each queue 1 when it has a job to fetch, plus 2
 * when it has one that is handed out. It only reads: idle queues cost the server next to nothing.
 */
const LOOK = `
local found = {}
for i = 1, #KEYS, 4 do
  local due = redis.call('ZRANGE', KEYS[i + 2], 0, 0, 'WITHSCORES')[2]
  local ready = redis.call('LLEN', KEYS[i]) + redis.call('ZCARD', KEYS[i + 1]) > 0
  local answer = 0
  if ready or (due and due / 4096 <= tonumber(ARGV[1])) then answer = 1 end
  if redis.call('LLEN', KEYS[i + 3]) > 0 then answer = answer + 2 end
  found[#found + 1] = answer
end
return found`;

/**
 * Tells the processes of a broker that there are jobs: one channel of Redis for all queues. What is added by a program that
 * does not tell is found by a slow look at the queues that somebody waits for.
 */
export class Signals {
  readonly #connection: Connection;
  readonly #lines: ReadonlyMap<string, Line>;
  readonly #clock: Clock;
  readonly #self = createId();
  readonly #pollMs: number;
  #timer: TimerHandle | undefined;

  constructor(
    connection: Connection,
    lines: ReadonlyMap<string, Line>,
    timing: { clock: Clock; pollMs: number },
  ) {
    this.#connection = connection;
    this.#lines = lines;
    this.#clock = timing.clock;
    this.#pollMs = timing.pollMs;
  }

  async start(): Promise<void> {
    const { listener } = this.#connection;
    await listener.subscribe(this.#connection.key("jobs"), (text) => this.#hear(text));
    // Nothing was heard while the connection was gone.
    listener.on("ready", () => {
      for (const line of this.#lines.values()) line.wake();
    });
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** There are jobs: here, and in the other processes. */
  tell(due: Due): void {
    if (due.size === 0) return;
    for (const [queue, dueAt] of due) this.#lines.get(queue)?.due(dueAt);
    const signal: Signal = [this.#self, [...due]];
    // Who does not hear it finds the jobs at the next poll.
    this.#connection.redis
      .publish(this.#connection.key("jobs"), JSON.stringify(signal))
      .catch(() => undefined);
  }

  #hear(text: string): void {
    const [from, due] = JSON.parse(text) as Signal;
    if (from === this.#self) return;
    for (const [queue, dueAt] of due) this.#lines.get(queue)?.due(dueAt);
  }

  /** Takes back jobs whose lease is over, in every queue that is consumed here. */
  async recover(): Promise<void> {
    const lines = [...this.#lines.values()];
    const active = await this.#look(lines, 2);
    await Promise.all(active.map((line) => line.recover()));
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(this.#pollMs, () => {
      void this.#poll()
        .catch(() => undefined)
        .then(() => {
          if (this.#timer !== undefined) this.#arm();
        });
    });
  }

  async #poll(): Promise<void> {
    const waiting = [...this.#lines.values()].filter((line) => line.isWaitedFor);
    for (const line of await this.#look(waiting, 1)) line.wake();
  }

  /** The queues that have a job of a kind: 1 to fetch, 2 handed out. */
  async #look(lines: readonly Line[], kind: 1 | 2): Promise<Line[]> {
    const found: Line[] = [];
    for (let from = 0; from < lines.length; from += PORTION) {
      const portion = lines.slice(from, from + PORTION);
      const keys = portion.flatMap(({ backend: { keys: of } }) =>
        ["wait", "prioritized", "delayed", "active"].map((name) => of[name] as string),
      );
      const answers = await this.#connection.redis.eval(LOOK, { keys, arguments: [String(Date.now())] });
      found.push(...portion.filter((_line, at) => ((answers as number[])[at] ?? 0) & kind));
    }
    return found;
  }
}
