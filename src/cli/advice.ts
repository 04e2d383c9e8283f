import type { ErrorCode } from "../core/errors.ts";
import { EXIT } from "./exit-codes.ts";

/** What a person at a terminal needs beside the error's own sentence. */
export interface Advice {
  readonly exit: number;
  readonly why: string;
  readonly hint: string;
}

const advice = (exit: number, why: string, hint: string): Advice => ({ exit, why, hint });

const ARGUMENT = advice(
  EXIT.usage,
  "A value that was given is not one that Herald accepts.",
  "Correct it; --help after the command says what it takes.",
);
const PAYLOAD = advice(
  EXIT.data,
  "The payload cannot be sent as it is.",
  "Correct the payload at the place that is named.",
);
const TOO_LARGE = advice(
  EXIT.data,
  "Messages and headers have limits that hold for every broker.",
  "Send less, or a reference to where the data lies.",
);
const FULL = advice(
  EXIT.temporary,
  "The broker holds as much as it may.",
  "Try again when the agents have caught up.",
);
const DOWN = advice(
  EXIT.unavailable,
  "The broker cannot be used now.",
  "Run herald doctor to see what is available.",
);
const HANDLER = advice(
  EXIT.failed,
  "The agent's handler did not handle the message.",
  "Look at the agent's own log; -v shows more here.",
);

/** Exit code, reason and way out of every error code of Herald. */
export const ADVICE: Readonly<Record<ErrorCode | "USAGE", Advice>> = {
  USAGE: advice(
    EXIT.usage,
    "The command line could not be read.",
    "herald --help shows the commands, --help after a command its options.",
  ),
  INVALID_ARGUMENT: ARGUMENT,
  INVALID_CHANNEL: advice(
    EXIT.usage,
    "Channel names have one grammar on every broker.",
    "Use letters, digits, _ : - and dots; herald channels lists what there is.",
  ),
  INVALID_MANIFEST: advice(
    EXIT.data,
    "An agent starts only from a manifest without errors.",
    "herald validate shows every problem with its line.",
  ),
  UNSUPPORTED: advice(
    EXIT.config,
    "The broker cannot do what was asked, and Herald never does less in silence.",
    "herald doctor lists what each broker can do.",
  ),
  NOT_FOUND: advice(
    EXIT.failed,
    "There is nothing of that name.",
    "Check the name, or list what there is first.",
  ),
  ALREADY_EXISTS: advice(EXIT.failed, "The name or id is taken.", "Use another one."),
  CONFLICT: advice(EXIT.temporary, "Somebody else changed the same thing at the same time.", "Try again."),
  NOT_CONNECTED: DOWN,
  CLOSED: DOWN,
  TIMEOUT: advice(
    EXIT.temporary,
    "The answer did not come in time; the work may still be done.",
    "Try again, or allow more time.",
  ),
  CANCELLED: advice(EXIT.interrupted, "It was stopped before it ended.", "Start it again."),
  OVERLOADED: FULL,
  CIRCUIT_OPEN: DOWN,
  EXPIRED: advice(EXIT.failed, "The message's time to live was over.", "Give it a longer --ttl."),
  DUPLICATE: advice(EXIT.failed, "A message of that id was seen before.", "Use another id, or leave it out."),
  MALFORMED: advice(
    EXIT.data,
    "The data is not JSON that can be read without changing it.",
    `Quote it for the shell: '{"key":"value"}', or give @file or - for stdin.`,
  ),
  UNSERIALIZABLE: PAYLOAD,
  DEPTH_LIMIT: PAYLOAD,
  UNSAFE_PAYLOAD: PAYLOAD,
  MESSAGE_TOO_LARGE: TOO_LARGE,
  DECOMPRESSION_LIMIT: TOO_LARGE,
  HEADERS_TOO_LARGE: TOO_LARGE,
  HOP_LIMIT: advice(
    EXIT.data,
    "Messages that cause each other without end are cut off.",
    "Look for agents that answer each other.",
  ),
  BUDGET_EXCEEDED: advice(
    EXIT.failed,
    "A conversation may use no more than the budget it began with.",
    "See what it spends it on, or give it more where it begins.",
  ),
  LOOP_DETECTED: advice(
    EXIT.failed,
    "Two agents sent each other the same thing again and again.",
    "Look for agents that answer each other.",
  ),
  CONVERSATION_STOPPED: advice(
    EXIT.failed,
    "The conversation was stopped with herald conversation stop.",
    "Let it go on with herald conversation release, then redrive its dead letters.",
  ),
  SCHEMA_VIOLATION: advice(
    EXIT.data,
    "A schema in the manifests says what may be sent.",
    "Correct the payload at the path that is named.",
  ),
  TRANSFORM_FAILED: advice(
    EXIT.data,
    "A transform of the routing rules gave nothing for this message.",
    "herald route explain shows what each rule makes of a message.",
  ),
  UNROUTABLE: advice(
    EXIT.data,
    "No routing rule takes this message.",
    "herald route explain says why each rule passes it over.",
  ),
  UNSAFE_SCHEMA: advice(
    EXIT.data,
    "A schema must not be able to stall the process or reach outside.",
    "Simplify the schema that is named.",
  ),
  REJECTED: advice(
    EXIT.failed,
    "The agent refused the message for good.",
    "Correct the message; sending it again as it is does not help.",
  ),
  HANDLER_FAILED: HANDLER,
  HANDLER_TIMEOUT: { ...HANDLER, exit: EXIT.temporary },
  NO_RESPONDER: advice(
    EXIT.unavailable,
    "No agent of this process listens there.",
    "Give the manifest of the agent that answers with --manifest, or check the name.",
  ),
  DLQ_UNAVAILABLE: DOWN,
  UNAUTHENTICATED: advice(
    EXIT.notPermitted,
    "The broker does not know who asks.",
    "Give the credentials that it wants.",
  ),
  FORBIDDEN: advice(
    EXIT.notPermitted,
    "What an agent may publish is declared in its manifest, and some names are Herald's own.",
    "Use a declared channel, or declare this one.",
  ),
  SAGA_FAILED: advice(
    EXIT.failed,
    "A step failed for good, and what came before it was undone.",
    "Look at the step that is named; start the saga again once that is put right.",
  ),
  SAGA_STUCK: advice(
    EXIT.temporary,
    "A step failed for good, and the saga waits for a person.",
    "Retry it, skip the step with a reason, or compensate.",
  ),
  PUBLISH_UNKNOWN: advice(
    EXIT.temporary,
    "The link broke after the message was sent and before the broker answered.",
    "Publish it again with the same --id: it is stored once.",
  ),
  UNSAFE_STORAGE: advice(
    EXIT.notPermitted,
    "Messages are kept only where nobody else can change them.",
    "Correct what is named, or choose another folder with --url file:<folder>.",
  ),
  STORAGE_FULL: advice(
    EXIT.temporary,
    "The disk has no room left; what was acknowledged is safe.",
    "Make room and try again: nothing has to be restarted.",
  ),
  STORAGE_GONE: advice(
    EXIT.unavailable,
    "The files of the broker were removed while it was in use.",
    "Put them back from a copy, or start again to begin with empty ones.",
  ),
  STORAGE_CORRUPT: advice(
    EXIT.data,
    "What is stored is not what was written.",
    "Run herald doctor: it names what is damaged and repairs what can be.",
  ),
  DATA_LOSS_DETECTED: advice(
    EXIT.data,
    "Messages that were acknowledged are gone from the broker.",
    "Look at who emptied, trimmed or replaced it; publish again what is missing.",
  ),
  INTERNAL: advice(
    EXIT.bug,
    "This is a bug of Herald, not of the input.",
    "Report it with the command and the output of herald doctor.",
  ),
};

/** A file that is not there. */
export const FILE_MISSING = advice(
  EXIT.noInput,
  "The file is not where it was looked for.",
  "Check the path, which starts at the current folder, or make the file.",
);
/** A file that is there and cannot be read. */
export const FILE_UNREADABLE = advice(
  EXIT.noInput,
  "It is a folder, a device, or no text.",
  "Name an ordinary file.",
);
/** A file that is kept from whoever runs the command. */
export const FILE_FORBIDDEN = advice(
  EXIT.notPermitted,
  "The system does not let this user read it.",
  "Change who may read the file, or run as somebody who may.",
);
