import { setTimeout as sleep } from "node:timers/promises";
import { commandStep, FileBroker, MessagingService, Saga, type SagaState } from "../../src/index.ts";

/**
 * Three bookings over a file broker: one goes through, one is undone because the card is refused, one is stuck at the hotel
 * until a person skips the room. Run it with: node examples/saga/main.ts [folder]
 */
const [directory = ".herald/saga-example"] = process.argv.slice(2);

interface Trip {
  readonly who: string;
  readonly nights: number;
  readonly flight?: string;
  readonly room?: number;
  readonly paid?: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const broker = new FileBroker({ directory });
const office = new MessagingService({ agentId: "office", broker });
const hotel = new MessagingService({ agentId: "hotel", broker });
await Promise.all([office.start(), hotel.start()]);

await hotel.registerCommandHandler<Trip>("book", ({ who, nights }) => {
  if (nights > 30) throw new Error("nobody stays that long");
  say(`  hotel: a room for ${who}`);
  return { room: 12 };
});
await hotel.registerCommandHandler<Trip>("cancel", ({ who }) => {
  say(`  hotel: no room for ${who}`);
  return {};
});

const booking = new Saga<Trip>(office, { name: "booking", leaseMs: 2000 })
  .addStep(
    "flight",
    ({ who }) => {
      say(`  airline: a seat for ${who}`);
      return { flight: "LH 7" };
    },
    ({ who }) => say(`  airline: no seat for ${who}`),
  )
  .addParallel([
    commandStep("room", office, {
      agentId: "hotel",
      command: "book",
      compensation: "cancel",
      onFailure: "wait",
      timeoutMs: 5000,
    }),
  ])
  .addStep(
    "pay",
    async ({ who, nights }) => {
      await sleep(5);
      if (who === "bob") throw new Error("the card was refused");
      say(`  bank: ${who} has paid`);
      return { paid: nights * 80 };
    },
    undefined,
    { retry: { maxAttempts: 2, backoff: { initialDelayMs: 20 } } },
  );
booking.start();

const run = Date.now().toString(36);
for (const [who, nights] of [
  ["ada", 2],
  ["bob", 3],
  ["eve", 90],
] as const) {
  say(`${who} books ${nights} nights`);
  await booking.execute({ who, nights }, { id: `${who}-${run}` }).then(
    (data) => say(`  booked: ${JSON.stringify(data)}`),
    (error: Error) => say(`  ${error.name}: ${error.message.replaceAll(`-${run}`, "")}`),
  );
}

const shown = ({ data, status, failedStep }: SagaState<Trip>): string =>
  `${data.who} is ${status} at ${failedStep}`;
for (const waiting of await booking.list()) {
  say(shown(waiting));
  const data = await booking.skip(waiting.id, "sleeps at a friend's");
  say(`  booked without it: ${JSON.stringify(data)}`);
}

await booking.stop();
await Promise.all([office.stop(), hotel.stop()]);
