import { MessagingService, type MessagingServiceOptions } from "../../src/index.ts";

/** The payload of every case: 200 bytes of JSON. */
export const PAYLOAD = { id: 42, kind: "measurement", ok: true, text: "x".repeat(148) };

/** Published and not yet handled at most: a publisher that looks at its own backlog, as one in production must. */
const WINDOW = 500;

/** A started service named `bench`. */
export async function startService(
  options: Partial<MessagingServiceOptions> = {},
): Promise<MessagingService> {
  const service = new MessagingService({ agentId: "bench", ...options });
  await service.start();
  return service;
}

/** Counts what arrives and lets a publisher wait until a number of messages has arrived. */
export class Arrivals {
  #count = 0;
  #wanted = Infinity;
  #wake: (() => void) | undefined;

  readonly arrived = (): void => {
    if (++this.#count >= this.#wanted) this.#wake?.();
  };

  reached(count: number): Promise<void> | undefined {
    if (this.#count >= count) return undefined;
    this.#wanted = count;
    return new Promise((resolve) => (this.#wake = resolve));
  }
}

/** Publishes `count` messages in bursts, never far ahead of the handler; resolves to messages a second, publish to handled. */
export async function pump(
  count: number,
  arrivals: Arrivals,
  publish: () => Promise<unknown>,
): Promise<number> {
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += WINDOW) {
    const burst: Promise<unknown>[] = [];
    for (let i = 0; i < WINDOW; i++) burst.push(publish());
    await Promise.all(burst);
    await arrivals.reached(sent + WINDOW / 2);
  }
  await arrivals.reached(count);
  return (count / (performance.now() - startedAt)) * 1000;
}

/** The value below which `fraction` of the samples lie. */
export function quantile(samples: readonly number[], fraction: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}
