import { channel } from "node:diagnostics_channel";

/**
 * The events that Herald publishes on `node:diagnostics_channel`. Nothing is made for a channel that nobody listens to.
 * The table with their fields stands in docs/architecture.md.
 */
export const EVENTS = {
  /** `{ agent, envelopes, results }`: one batch was given to the broker. */
  published: channel("herald:published"),
  /** `{ agent, group, delivery, outcome }`: the outcome of one delivery is known. */
  settled: channel("herald:settled"),
  /** `{ agent, group, envelope, reason, error, attempts }`: one message was given up on. */
  deadLettered: channel("herald:dead-lettered"),
  /** `{ agent, channel, group, error }`: a handler threw. */
  handlerError: channel("herald:handler-error"),
  /** `{ agent, error, where }`: something failed that no caller waits for. */
  fault: channel("herald:fault"),
  /** `{ broker, channel, group, count, error }`: a broker found acknowledged messages missing; `count` is null when unknown. */
  dataLost: channel("herald:data-lost"),
  /** `{ from, to, reason, at }`: the coordination mode is another one now. */
  modeChanged: channel("herald:mode-changed"),
  /** `{ agent, kind, name, from, to, reason, at }`: a circuit breaker opened, let a probe through, or closed. */
  circuitChanged: channel("herald:circuit-changed"),
} as const;

/** Makes and publishes an event, only if somebody listens. */
export function emit(event: keyof typeof EVENTS, make: () => object): void {
  const target = EVENTS[event];
  if (target.hasSubscribers) target.publish(make());
}
