import { LINES, readData, type Datum } from "./data.ts";
import { EXIT, exitOfMany } from "./exit-codes.ts";
import { failureOf, type Failure } from "./failure.ts";
import type { Session } from "./session.ts";

/** Payloads to work through. */
export interface Inputs {
  /** True: any number of them may come, and one that fails does not end the work. */
  readonly many: boolean;
  readonly data: AsyncIterable<Datum> | Iterable<Datum>;
}

/** What came of working through payloads. */
export interface Outcome {
  readonly done: number;
  readonly failed: number;
  readonly exit: number;
}

/** The payloads of an argument. A single one is read here and now, so that a mistake in it is known before any agent starts. */
export async function openInputs(data: string | undefined, session: Session): Promise<Inputs> {
  const read = readData(data, { stdin: session.stdin, signal: session.interrupt.signal });
  const many = data === "-" || (data?.startsWith("@") === true && LINES.test(data));
  if (many) return { many, data: read };
  const single: Datum[] = [];
  for await (const datum of read) {
    if (!datum.ok) throw datum.error;
    single.push(datum);
  }
  return { many, data: single };
}

/** Does something with each payload, in order. What fails is said on stderr; the exit code tells none, some or all. */
export async function eachDatum(
  { many, data }: Inputs,
  session: Session,
  work: (value: unknown) => Promise<void>,
  explain: (error: unknown) => Failure = failureOf,
): Promise<Outcome> {
  const { output, interrupt } = session;
  let [done, failed] = [0, 0];
  let first: Failure | undefined;
  for await (const datum of data) {
    try {
      if (!datum.ok) throw datum.error;
      await work(datum.value);
      await output.ready();
      done++;
    } catch (error) {
      if (interrupt.signal.aborted) break;
      const failure = explain(error);
      failed++;
      first ??= failure;
      output.failure(many ? { ...failure, message: `Line ${datum.line}: ${failure.message}` } : failure);
    }
  }
  return {
    done,
    failed,
    exit: first === undefined ? EXIT.done : exitOfMany(failed, done + failed, first.exit),
  };
}
