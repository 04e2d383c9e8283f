import { FileBroker, MessagingService } from "../../src/index.ts";
import { WorkQueue } from "../../src/service/patterns.ts";
import { PRINTED, queueOptions, type Job, type Printed } from "./job.ts";

const [directory = ".herald", name = "worker", perSecond = "0"] = process.argv.slice(2);
const service = new MessagingService({ agentId: "printer", broker: new FileBroker({ directory }) });
await service.start();
const queue = new WorkQueue<Job>(service, queueOptions(Number(perSecond)));

// What the handler publishes takes effect once, also when this process is killed in the middle of it.
await queue.process(
  async (job) => {
    await new Promise((resolve) => setTimeout(resolve, job.ms));
    const printed: Printed = { n: job.n, by: name, isUrgent: job.isUrgent };
    await service.publish(PRINTED, printed);
  },
  { workers: 4, guarantee: "exactly-once" },
);
process.stdout.write("ready\n");

process.on("SIGTERM", () => void end());

async function end(): Promise<void> {
  await queue.drain();
  await queue.close();
  await service.stop();
}
