/** What a group knows of one message that it has not acknowledged. */
export interface Note {
  /** The attempt that its next hand-out is, should this process die now. */
  readonly attempt: number;
  /** Epoch milliseconds: not handed out before; 0: at once. */
  readonly dueAt: number;
}

/** How a group stands on one partition, as it is kept with its committed offset. */
export interface KeptState {
  /** The topic that it is of. */
  readonly topicId: string;
  /** Of what lies before this, only what is noted is still to be handled. */
  readonly fresh: number;
  /** How many were handed out. */
  readonly out: number;
  readonly notes: ReadonlyMap<number, Note>;
}

/** One message of a group that is not acknowledged. */
export interface Unacknowledged {
  readonly attempt: number;
  /** Epoch milliseconds, or 0. */
  readonly dueAt: number;
  /** `out`: it is handed out. */
  readonly state: string;
}

/**
 * From what is not acknowledged, in the order of offsets, and the end of what was read: the lowest offset that is still to be handled,
 * and the one from which on everything is as it was published.
 */
export function boundsOf(
  pending: ReadonlyMap<number, Unacknowledged>,
  end: number,
): { readonly low: number; readonly fresh: number } {
  const first = pending.keys().next();
  if (first.done === true) return { low: end, fresh: end };
  const low = Math.min(first.value, end);
  let fresh = low;
  let expected = low;
  for (const [at, { attempt, dueAt, state }] of pending) {
    // What was acknowledged above the first that was not must not come again.
    if (at !== expected) fresh = at;
    if (attempt > 1 || dueAt > 0 || state === "out") fresh = at + 1;
    expected = at + 1;
  }
  return { low, fresh: expected < end ? end : fresh };
}

/** What is kept of each: what is handed out has been tried, should this process die now. */
export function* notesOf(pending: ReadonlyMap<number, Unacknowledged>): Iterable<readonly [number, Note]> {
  for (const [offset, { attempt, dueAt, state }] of pending)
    yield [offset, { attempt: state === "out" ? attempt + 1 : attempt, dueAt }];
}

const VERSION = "2";
/** What brokers take by default (`offset.metadata.max.bytes`) is 4096. */
const MAX_LENGTH = 4000;

/**
 * The state as text: version, topic, distance of `fresh` from the committed offset, how many are out, and runs of neighbours:
 * distance from the last, length, attempt, due time as distance from the last due time. What does not fit is forgotten: it will be handed out once more.
 */
export function encodeState(
  low: number,
  state: { readonly topicId: string; readonly fresh: number; readonly out: number },
  notes: Iterable<readonly [number, Note]>,
): string {
  const head = (fresh: number) =>
    `${VERSION};${state.topicId};${(fresh - low).toString(36)};${state.out.toString(36)};`;
  let left = MAX_LENGTH - head(state.fresh).length - 10;
  const runs: string[] = [];
  let fresh = state.fresh;
  let end = low;
  let lastDueAt = 0;
  let run: { at: number; length: number; note: Note } | undefined;
  const close = (): boolean => {
    if (run === undefined) return true;
    const { attempt, dueAt } = run.note;
    const due = dueAt === 0 ? "" : `.${(Math.ceil(dueAt) - lastDueAt).toString(36)}`;
    const text = `${(run.at - end).toString(36)}.${run.length.toString(36)}.${attempt.toString(36)}${due}`;
    if ((left -= text.length + 1) < 0) {
      fresh = run.at;
      return false;
    }
    runs.push(text);
    if (dueAt > 0) lastDueAt = Math.ceil(dueAt);
    end = run.at + run.length;
    run = undefined;
    return true;
  };
  for (const [offset, note] of notes) {
    if (offset >= state.fresh) break;
    if (run !== undefined && offset === run.at + run.length && isSame(run.note, note)) run.length++;
    else {
      if (!close()) return head(fresh) + runs.join(",");
      run = { at: offset, length: 1, note };
    }
  }
  close();
  return head(fresh) + runs.join(",");
}

/** The state of a text of {@link encodeState}; undefined for any other text. */
export function decodeState(low: number, text: string | null | undefined): KeptState | undefined {
  const [version, topicId, distance, out, runs] = (text ?? "").split(";");
  if (version !== VERSION || topicId === undefined || distance === undefined || out === undefined)
    return undefined;
  const notes = new Map<number, Note>();
  let end = low;
  let lastDueAt = 0;
  for (const run of runs === undefined || runs === "" ? [] : runs.split(",")) {
    const [gap, length, attempt, due] = run.split(".").map((part) => Number.parseInt(part, 36));
    if (gap === undefined || length === undefined || attempt === undefined) return undefined;
    if (due !== undefined) lastDueAt += due;
    const dueAt = due === undefined ? 0 : lastDueAt;
    for (let n = 0; n < length; n++) notes.set(end + gap + n, { attempt, dueAt });
    end += gap + length;
  }
  return { topicId, fresh: low + Number.parseInt(distance, 36), out: Number.parseInt(out, 36), notes };
}

function isSame(a: Note, b: Note): boolean {
  return a.attempt === b.attempt && a.dueAt === b.dueAt;
}
