import type { Address } from "../conformance/harness.ts";
import type { Guarantee, PortRetryOptions } from "../service-port.ts";

/** What a step of a child is called, with its moments: before it, handed to the broker, answered. */
export type CrashPoint =
  | `${"publish" | "deadLetter" | "settle"}.${"before" | "sent" | "after"}`
  | "handler.start"
  | "handler.end";

/** The points at which a child can be made to kill itself, in the order a message passes them. */
export const CRASH_POINTS: readonly CrashPoint[] = [
  "publish.before",
  "publish.sent",
  "publish.after",
  "handler.start",
  "handler.end",
  "deadLetter.before",
  "deadLetter.sent",
  "deadLetter.after",
  "settle.before",
  "settle.sent",
  "settle.after",
];

/** SIGKILL from within, when a point is passed for the `nth` time, 1 first. */
export interface Crash {
  readonly point: CrashPoint;
  readonly nth: number;
}

/** Publishes `writer-counter` for every counter it is granted. Each of the messages in flight keeps order under a key of its own. */
export interface PublisherRole {
  readonly kind: "publisher";
  readonly writer: string;
  readonly channel: string;
  /** Its first counter. */
  readonly first: number;
  /** Counters that an earlier process of this writer left open: published again first, under the same ids. */
  readonly again: readonly number[];
  /** How many counters from `first` on it may publish before it is granted more. */
  readonly granted: number;
  readonly inFlight: number;
  /** Recognise ids: a message whose outcome is unknown is published again until it is known. Else it is left. */
  readonly dedupe: boolean;
  /** Every so many messages one that kills who handles it. 0: none. */
  readonly poisonEvery: number;
  /** Every so many messages one is published again under its id after it was acknowledged. 0: none. */
  readonly repeatEvery: number;
  /** Messages are held back for up to so long. 0: none. */
  readonly delayUpToMs: number;
  readonly bodyBytes: number;
}

/** How handlers behave, by chance of message and attempt. */
export interface Behaviour {
  /** Share that throws. */
  readonly throws?: number;
  /** Share that never ends. */
  readonly hangs?: number;
  /** Share that holds the event loop for `blockMs`. */
  readonly blocks?: number;
  readonly blockMs?: number;
  /** Share that takes up to `slowMs`. */
  readonly slow?: number;
  readonly slowMs?: number;
}

/** Handles what comes, in a group. */
export interface ConsumerRole {
  readonly kind: "consumer";
  readonly agentId: string;
  readonly pattern: string;
  readonly group: string;
  readonly guarantee: Guarantee;
  readonly ordering: "relaxed" | "strict";
  readonly maxConcurrency: number;
  readonly prefetch: number;
  readonly retry: PortRetryOptions;
  readonly handlerTimeoutMs: number;
  /** Each message that is handled publishes one here through its context: the effect. Absent: the handler's end is. */
  readonly effects?: string;
  readonly behaviour: Behaviour;
}

/** Agents that ask, each with a broker and a reply channel of its own; they die together, whenever they are told to. */
export interface RequesterRole {
  readonly kind: "requester";
  readonly agentIds: readonly string[];
  readonly channel: string;
  readonly inFlight: number;
}

/** Answers requests. */
export interface ResponderRole {
  readonly kind: "responder";
  readonly agentId: string;
  readonly channel: string;
}

/** What a child is there for. */
export type Role = PublisherRole | ConsumerRole | RequesterRole | ResponderRole;

/** Everything a child is told: the first line of its input, as JSON. */
export interface ChildSpec {
  /** URL of a `ChildModule`. */
  readonly module: string;
  readonly place: string;
  readonly address?: Address;
  /** Unique among the processes of a run. */
  readonly name: string;
  /** What the epoch was, in milliseconds, when the machine's monotonic clock was 0: every process tells one time. */
  readonly epochMs: number;
  readonly role: Role;
  readonly crash?: Crash;
}

/** What a child is told later: a line of its input each. */
export type ChildOrder = { readonly grant: number } | { readonly finish: true };

/** What a child says beside the events of its history. */
export type ChildNotice =
  /** Its service stands, and subscribed. */
  | { readonly type: "ready" }
  /** It published everything it was granted before it was told to finish. */
  | { readonly type: "finished" }
  /** A request was answered. */
  | { readonly type: "answered" };
