import { HeraldError } from "../core/errors.ts";
import type { MessagingService } from "../service/service.ts";
import { usage } from "./duration.ts";

/** Which dead letters, as the service takes it. */
export type DeadLetterFilter = NonNullable<Parameters<MessagingService["deadLetters"]["list"]>[0]>;

/** Which dead letters a command is about: those of the ids, or where there is none those of the filter. */
export interface DeadLetterQuery {
  readonly ids: readonly string[];
  readonly filter: DeadLetterFilter;
}

/** What changes dead letters must be told which: an id, a filter or --all. Throws `USAGE`. */
export function checkMeant({ ids, filter }: DeadLetterQuery, all: boolean): void {
  const filtered = Object.keys(filter).some((key) => key !== "limit");
  if (ids.length > 0 || filtered || all) return;
  throw usage(
    "It is not said which dead letters are meant.",
    "Nothing is sent back or purged by accident.",
    "Give an id, --channel, --group, --code or --agent, or --all.",
  );
}

/** The error for an id that is not among the dead letters. */
export function notFound(id: string): HeraldError {
  return new HeraldError("NOT_FOUND", `There is no dead letter with the id '${id}'.`, {
    details: { id, hint: "herald dlq list shows what there is, with the ids." },
  });
}
