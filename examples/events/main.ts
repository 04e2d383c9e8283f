import { EventStore, FileBroker, Projection, StreamState, type StoredEvent } from "../../src/index.ts";

/**
 * Orders as event streams over a file broker: what an order was at any moment, a list that is made of all of them and made anew,
 * and the proof that nobody has changed anything. Run it with: node examples/events/main.ts [folder]
 */
const [directory = ".herald/events-example"] = process.argv.slice(2);

interface Order {
  readonly items: readonly string[];
  readonly state: "new" | "placed" | "sent";
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function applied(order: Order, { type, data }: StoredEvent): Order {
  if (type === "ItemAdded") return { ...order, items: [...order.items, (data as { item: string }).item] };
  if (type === "OrderPlaced") return { ...order, state: "placed" };
  return type === "OrderSent" ? { ...order, state: "sent" } : order;
}

const broker = new FileBroker({ directory });
await broker.open();
const store = new EventStore(broker);

const run = Date.now().toString(36);
for (const [number, items] of [
  ["1", ["tea", "cup"]],
  ["2", ["kettle"]],
] as const) {
  const stream = `order.${run}.${number}`;
  const added = items.map((item) => ({ type: "ItemAdded", data: { item } }));
  await store.append(stream, [...added, { type: "OrderPlaced" }], { expectedVersion: 0 });
}
await store.append(`order.${run}.1`, { type: "OrderSent", metadata: { by: "ada" } }, { expectedVersion: 3 });

const order = new StreamState(store, `order.${run}.1`, {
  name: "order",
  initial: (): Order => ({ items: [], state: "new" }),
  apply: applied,
});
for (const version of [1, 3, 4])
  say(`at version ${version}: ${JSON.stringify((await order.stateAt(version)).state)}`);

const items = (perItem: number): Projection<Record<string, number>> =>
  new Projection<Record<string, number>>(store, {
    name: `items ${run}`,
    streams: `order.${run}.*`,
    revision: perItem,
    initial: () => ({}),
    apply: (sold, { type, data }) => {
      if (type !== "ItemAdded") return sold;
      const { item } = data as { item: string };
      return { ...sold, [item]: (sold[item] ?? 0) + perItem };
    },
  });
const sold = items(1);
await sold.catchUp();
say(`sold: ${JSON.stringify(sold.state)}`);
const inPairs = items(2);
await inPairs.catchUp();
say(`made anew, in pairs: ${JSON.stringify(inPairs.state)}`);

for (const stream of await store.streams(`order.${run}.*`)) {
  const found = await store.verify(stream);
  say(
    `${stream.replace(`.${run}`, "")}: ${found.ok ? `whole, ${found.version} events` : `broken at ${found.version}`}`,
  );
}
await broker.close();
