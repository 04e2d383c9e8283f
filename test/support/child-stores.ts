import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import type { Stores } from "../../src/core/store.ts";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import type { StoredEvent } from "../../src/patterns/events/event.ts";
import { Projection } from "../../src/patterns/events/projection.ts";
import { Saga } from "../../src/patterns/saga/saga.ts";
import { altered } from "./altered-stores.ts";

/** Where a child keeps what it does: a folder, or a namespace of a Redis. */
export type ChildPlace =
  | { readonly directory: string }
  | { readonly url: string; readonly namespace: string };

/** The stores of a place, and how they are closed. */
export async function storesAt(place: ChildPlace): Promise<{ stores: Stores; close: () => Promise<void> }> {
  const broker = "directory" in place ? new FileBroker(place) : new RedisBroker(place);
  await broker.open();
  return { stores: broker.createStores(), close: () => broker.close() };
}

/** The booking that is killed: its effects are files named by the key of the step, so that one that is done again is seen. */
export function booking(stores: Stores, effects: string, isDoomed: boolean): Saga {
  const effect = (key: string): void => {
    appendFileSync(path.join(effects, "runs.log"), `${key}\n`);
    const file = path.join(effects, key.replaceAll(":", "+"));
    if (!existsSync(file)) writeFileSync(file, "done", { flag: "wx" });
  };
  const saga = new Saga(stores, { name: "booking", leaseMs: 200 });
  for (const step of ["flight", "room", "car"])
    saga.addStep(
      step,
      (_data, { key }) => {
        effect(key);
        return { [step]: `booked by ${key}` };
      },
      (_data, { key }) => effect(key),
    );
  if (isDoomed)
    saga.addStep("pay", () => {
      throw new Error("no money");
    });
  return saga;
}

/** Stores that end this process with SIGKILL right before, or right after, its `at`th append. */
function deadly(stores: Stores, at: number, side: "before" | "after"): Stores {
  let appends = 0;
  return altered(stores, {
    events: {
      async append(...given) {
        appends++;
        if (appends === at && side === "before") process.kill(process.pid, "SIGKILL");
        const result = await stores.events.append(...given);
        if (appends === at && side === "after") process.kill(process.pid, "SIGKILL");
        return result;
      },
    },
  });
}

/** Sums of the streams, and a line in a file for each event: written before the state is kept, and again when it is not. */
export function ledger(stores: Stores, file: string): Projection<Record<string, number>> {
  return new Projection<Record<string, number>>(new EventStore(stores), {
    name: "ledger",
    streams: "account.*",
    initial: () => ({}),
    apply(state, { stream, version, data }: StoredEvent) {
      appendFileSync(file, `${stream} ${version}\n`);
      return { ...state, [stream]: (state[stream] ?? 0) + (data as { n: number }).n };
    },
  });
}

/** Appends without end, batches of 1 to 20 to four streams, and says which version of which stream it was told is stored. */
async function appendForEver(store: EventStore): Promise<void> {
  const writer = async (stream: string): Promise<void> => {
    for (let n = 0; ; n++) {
      const count = 1 + Math.floor(Math.random() * 20);
      const events = Array.from({ length: count }, (_none, at) => ({ type: "Moved", data: { n: n + at } }));
      const { version, hash } = await store.append(stream, events);
      process.stdout.write(`${stream} ${version} ${hash}\n`);
    }
  };
  await Promise.all([1, 2, 3, 4].map((n) => writer(`account.${n}`)));
}

/** A saga of one step. */
export function paused(stores: Stores, action: () => Promise<object>): Saga {
  return new Saga(stores, { name: "paused", leaseMs: 300 }).addStep("only", action);
}

/** Begins a step that takes a second, in which it is stopped, and says what came of it. */
async function beStopped(stores: Stores): Promise<void> {
  const saga = paused(stores, async () => {
    process.stdout.write("begun\n");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return { by: "the one that slept" };
  });
  const outcome = await saga.execute({}, { id: "one" }).catch((error: unknown) => error);
  process.stdout.write(`${String((outcome as { code?: unknown }).code)}\n`);
}

interface Order {
  readonly what: "paused" | "saga" | "append" | "project";
  readonly place: ChildPlace;
  readonly effects: string;
  readonly at: number;
  readonly side: "before" | "after";
  readonly isDoomed: boolean;
}

async function main(text: string): Promise<void> {
  const { what, place, effects, at, side, isDoomed } = JSON.parse(text) as Order;
  const { stores, close } = await storesAt(place);
  if (what === "paused") {
    await beStopped(stores);
    await close();
    return;
  }
  if (what === "saga") {
    await booking(deadly(stores, at, side), effects, isDoomed).execute({ who: "ada" }, { id: "one" });
    return;
  }
  process.stdout.write("ready\n");
  if (what === "project") void ledger(stores, effects).run(new AbortController().signal);
  await appendForEver(new EventStore(stores));
}

if (process.argv[1] === import.meta.filename) await main(process.argv[2] as string);
