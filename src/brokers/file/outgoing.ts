import type { PublishResult } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import type { HeraldError } from "../../core/errors.ts";
import { errorOf, resultOf, storedAt } from "./accepted.ts";
import { Echo } from "./echo.ts";
import { packEnvelopes } from "./pack.ts";
import type {
  Answer,
  Command,
  PublishAnswer,
  PublishBlock,
  Request,
  Result,
  SettleBlock,
  StoredRun,
} from "./protocol.ts";

/** Messages, and bytes of their bodies, of one request: packing them must not hold the event loop for long. */
const MAX_MESSAGES = 256;
const MAX_BYTES = 4 * 1024 * 1024;

/** One call of publish. */
class PublishCall {
  readonly envelopes: readonly Envelope[];
  readonly isDeduped: boolean;
  readonly results: PublishResult[] = [];
  readonly resolve: (results: readonly PublishResult[]) => void;
  /** How many have been sent. */
  at = 0;

  constructor(
    envelopes: readonly Envelope[],
    isDeduped: boolean,
    resolve: (results: readonly PublishResult[]) => void,
  ) {
    this.envelopes = envelopes;
    this.isDeduped = isDeduped;
    this.resolve = resolve;
  }

  add(result: PublishResult): void {
    this.results.push(result);
    if (this.results.length === this.envelopes.length) this.resolve(this.results);
  }
}

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: HeraldError) => void;
}

/** What one request was about: who waits for what of its answer. */
export interface Sent {
  /** Calls and how many messages of each, in the order of the block. */
  readonly publishes: readonly (readonly [call: PublishCall, count: number])[];
  readonly settles: readonly Waiting<void>[];
  readonly commands: readonly number[];
}

/** What goes over without being copied. */
function bodiesOf({ commands, publishes }: Request): ArrayBuffer[] {
  const buffers = publishes.map(({ bodies }) => bodies.buffer);
  for (const { command } of commands)
    if (command.op === "commit" && command.messages !== null) buffers.push(command.messages.bodies.buffer);
  return buffers;
}

/** Gathers what is asked until it goes over, and hands the answers to those who asked. */
export class Outgoing {
  #publishes: PublishCall[] = [];
  #settles: SettleBlock[] = [];
  #settling: Waiting<void>[] = [];
  #wants: number[] = [];
  #commands: { readonly call: number; readonly command: Command }[] = [];
  readonly #calls = new Map<number, Waiting<unknown>>();
  /** What was stored last. */
  readonly echo = new Echo();
  #lastCall = 0;

  /** Calls of publish that have not gone over. */
  get calls(): number {
    return this.#publishes.length;
  }

  get hasMore(): boolean {
    return (
      this.#publishes.length > 0 ||
      this.#settles.length > 0 ||
      this.#wants.length > 0 ||
      this.#commands.length > 0
    );
  }

  publish(envelopes: readonly Envelope[], isDeduped: boolean): Promise<readonly PublishResult[]> {
    return new Promise((resolve) => this.#publishes.push(new PublishCall(envelopes, isDeduped, resolve)));
  }

  settle(block: SettleBlock): Promise<void> {
    this.#settles.push(block);
    return new Promise((resolve, reject) => this.#settling.push({ resolve, reject }));
  }

  want(id: number, count: number, isImpatient: boolean): void {
    this.#wants.push(id, count, isImpatient ? 1 : 0);
  }

  command(command: Command): Promise<unknown> {
    const call = ++this.#lastCall;
    this.#commands.push({ call, command });
    return new Promise((resolve, reject) => this.#calls.set(call, { resolve, reject }));
  }

  /** Everything that was gathered, but for messages beyond the limits of one request. */
  take(): { readonly request: Request; readonly transfer: ArrayBuffer[]; readonly sent: Sent } {
    const { block, parts } = this.#takeMessages();
    const request: Request = {
      commands: this.#commands,
      publishes: block === undefined ? [] : [block],
      settles: this.#settles,
      wants: this.#wants,
    };
    const sent: Sent = {
      publishes: parts,
      settles: this.#settling,
      commands: this.#commands.map(({ call }) => call),
    };
    this.#commands = [];
    this.#settles = [];
    this.#settling = [];
    this.#wants = [];
    return { request, transfer: bodiesOf(request), sent };
  }

  /** Some requests were answered. */
  answer(sent: readonly Sent[], { results, publishes, error }: Answer): void {
    if (error !== undefined) {
      this.fail(sent, errorOf(error));
      return;
    }
    let block = 0;
    for (const { publishes: parts, settles } of sent) {
      const answer = parts.length === 0 ? undefined : publishes[block++];
      let at = 0;
      for (const [call, count] of parts)
        for (const end = at + count; at < end; at++) this.#stored(call, answer as StoredRun, at);
      for (const { resolve } of settles) resolve();
    }
    for (const result of results) this.#resolve(result);
  }

  /** Requests that came to nothing. */
  fail(sent: readonly Sent[], error: HeraldError): void {
    for (const { publishes, settles, commands } of sent) {
      for (const [call, count] of publishes) for (let i = 0; i < count; i++) call.add({ ok: false, error });
      for (const { reject } of settles) reject(error);
      for (const call of commands) {
        this.#calls.get(call)?.reject(error);
        this.#calls.delete(call);
      }
    }
  }

  /** Everything that was gathered comes to nothing. */
  failAll(error: HeraldError): void {
    while (this.hasMore) this.fail([this.take().sent], error);
  }

  #stored(call: PublishCall, answer: PublishAnswer | StoredRun, at: number): void {
    const position = storedAt(answer, at);
    if (position > 0) this.echo.add(position, call.envelopes[call.results.length] as Envelope);
    call.add(resultOf(answer, at));
  }

  #resolve({ call, value, error }: Result): void {
    const waiting = this.#calls.get(call);
    this.#calls.delete(call);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(errorOf(error));
  }

  #takeMessages(): { block: PublishBlock | undefined; parts: (readonly [PublishCall, number])[] } {
    const parts: (readonly [PublishCall, number])[] = [];
    if (this.#publishes.length === 0) return { block: undefined, parts };
    const envelopes: Envelope[] = [];
    const deduped: boolean[] = [];
    let bytes = 0;
    let done = 0;
    for (const call of this.#publishes) {
      const from = call.at;
      while (call.at < call.envelopes.length && envelopes.length < MAX_MESSAGES && bytes < MAX_BYTES) {
        const envelope = call.envelopes[call.at++] as Envelope;
        bytes += envelope.body.byteLength;
        envelopes.push(envelope);
        deduped.push(call.isDeduped);
      }
      if (call.at > from) parts.push([call, call.at - from]);
      if (call.at < call.envelopes.length) break;
      done++;
    }
    this.#publishes = this.#publishes.slice(done);
    return { block: packEnvelopes(envelopes, deduped), parts };
  }
}
