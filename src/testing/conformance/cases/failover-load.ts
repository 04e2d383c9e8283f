import type { HandlerContext } from "../../../core/middleware.ts";
import type { Message } from "../../../core/message.ts";
import type { CaseContext } from "../context.ts";
import type { RecordedService } from "../recorded-service.ts";

/** How a message is handled beside being counted. */
interface Consuming {
  readonly before?: (message: Message, context: HandlerContext) => void | Promise<void>;
}

const WRITERS = 8;
/** Codes after which the same id is published again. */
const AGAIN: ReadonlySet<string> = new Set(["TIMEOUT", "PUBLISH_UNKNOWN"]);

/** Publishers that never have more than one message of a writer on its way, and handlers that count what they did. */
export class FailoverLoad {
  /** How long each publish took, in the order they ended. */
  readonly latencies: number[] = [];
  readonly #context: CaseContext;
  readonly #services: readonly RecordedService[];
  readonly #channel: string;
  readonly #pending = new Set<string>();
  #published = 0;
  #handled = 0;

  constructor(context: CaseContext, services: readonly RecordedService[]) {
    this.#context = context;
    this.#services = services;
    this.#channel = context.channel();
  }

  /** Messages whose publish was acknowledged. */
  get published(): number {
    return this.#published;
  }

  /** Messages that were handled or given up on. */
  get handled(): number {
    return this.#handled;
  }

  /** Handles what comes to the service. */
  async consume(service: RecordedService, { before }: Consuming = {}): Promise<void> {
    await service.subscribe(
      this.#channel,
      async (message, context) => {
        try {
          await before?.(message, context);
        } finally {
          // Handled or given up on: both are an end.
          if (this.#pending.delete(message.id)) this.#handled++;
        }
      },
      { maxConcurrency: 16 },
    );
  }

  /** Publishes so many; resolves when every one is acknowledged. */
  async publish(count: number): Promise<void> {
    let left = count;
    const write = async (writer: number) => {
      const service = this.#services[writer % this.#services.length] as RecordedService;
      while (left-- > 0) await this.#publishOne(service, `w${writer}`);
    };
    await Promise.all(Array.from({ length: WRITERS }, (_none, writer) => write(writer)));
  }

  /** Resolves once all but `missing` of what was published has ended. */
  async untilHandled(missing = 0): Promise<void> {
    await this.#context.until(
      () => this.#pending.size <= missing,
      () =>
        `${this.#published} messages to be handled; ${this.#pending.size} were not, ${[...this.#pending].slice(0, 3).join(" ")}`,
      Math.max(30_000, this.#context.time.patienceMs),
    );
  }

  async #publishOne(service: RecordedService, writer: string): Promise<void> {
    const id = this.#context.nextId(writer);
    this.#pending.add(id);
    for (;;) {
      const from = performance.now();
      try {
        await service.publish(this.#channel, { writer }, { id, partitionKey: writer });
        this.latencies.push(performance.now() - from);
        this.#published++;
        return;
      } catch (error) {
        if (!AGAIN.has((error as { code?: string }).code ?? "")) throw error;
      }
    }
  }
}
