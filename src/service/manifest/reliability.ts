import { isChannelName } from "../../core/pattern.ts";
import type {
  AcknowledgmentSpec,
  BackoffSpec,
  DeadLetterSpec,
  OrderingSpec,
  ReliabilitySpec,
  RetrySpec,
} from "./model.ts";
import { present, type KnownKeys, type ObjectReader } from "./object-reader.ts";

const RELIABILITY: KnownKeys = {
  keys: ["deliveryGuarantee", "retry", "dlq", "ordering", "acknowledgment"],
  aliases: { delivery: "deliveryGuarantee" },
  hints: {
    deadLetterQueue: "dlq",
    dead_letter_queue: "dlq",
    deadLetter: "dlq",
    acknowledgement: "acknowledgment",
    retries: "retry",
  },
};
const RETRY: KnownKeys = { keys: ["maxAttempts", "maxRetries", "backoff"] };
const BACKOFF: KnownKeys = { keys: ["strategy", "initialDelayMs", "maxDelayMs", "multiplier"] };
const DLQ: KnownKeys = { keys: ["enabled", "channel", "retentionDays"] };
const ORDERING: KnownKeys = { keys: ["guarantee", "timeoutSeconds"], aliases: { mode: "guarantee" } };
const ACKNOWLEDGMENT: KnownKeys = { keys: ["mode", "timeoutSeconds"], hints: { timeout: "timeoutSeconds" } };

/** A timer cannot wait longer than this. */
const MAX_DELAY_MS = 2 ** 31 - 1;
const SECONDS = { min: 1, max: Math.floor(MAX_DELAY_MS / 1000) };
const DELAY = { min: 0, max: MAX_DELAY_MS };
/** Above this the public schemas of both dialects refuse a manifest. */
const PORTABLE_ATTEMPTS = 10;

/** Reads `reliability`, both dialects. What is not written stays absent. */
export function readReliability(messaging: ObjectReader): ReliabilitySpec {
  const reader = messaging.object("reliability", RELIABILITY);
  if (reader === undefined) return {};
  return present<ReliabilitySpec>({
    deliveryGuarantee: readGuarantee(reader),
    retry: readRetry(reader.object("retry", RETRY)),
    dlq: readDeadLetters(reader.object("dlq", DLQ)),
    ordering: readOrdering(reader.object("ordering", ORDERING)),
    acknowledgment: readAcknowledgment(reader.object("acknowledgment", ACKNOWLEDGMENT)),
  });
}

function readGuarantee(reader: ObjectReader): ReliabilitySpec["deliveryGuarantee"] {
  const { segments, problems } = reader.at("deliveryGuarantee");
  if (segments.at(-1) === "delivery") problems.mark("D2", "delivery");
  if (String(reader.raw("deliveryGuarantee")).includes("_"))
    problems.mark("D2", String(reader.raw("deliveryGuarantee")));
  return reader.word("deliveryGuarantee", ["at-most-once", "at-least-once", "exactly-once"]);
}

function readRetry(reader: ObjectReader | undefined): RetrySpec | undefined {
  if (reader === undefined) return undefined;
  return present<RetrySpec>({
    maxAttempts: readAttempts(reader),
    backoff: readBackoff(reader.object("backoff", BACKOFF)),
  });
}

/** Deliveries, the first included. `maxRetries` counts those after the first; 0 and 1 attempts both mean one delivery. */
function readAttempts(reader: ObjectReader): number | undefined {
  const attempts = reader.whole("maxAttempts", { min: 0, max: 1000 });
  const retries = reader.whole("maxRetries", { min: 0, max: 999 });
  const { segments, problems } = reader.at("maxRetries");
  if (reader.has("maxAttempts") && reader.has("maxRetries")) {
    problems.error({
      segments,
      message: "cannot stand beside maxAttempts, which counts the first delivery too",
      hint: "Keep maxAttempts: it is maxRetries + 1.",
      onKey: true,
    });
    return undefined;
  }
  if (attempts === 0) problems.mark("D2", "maxAttempts: 0");
  const deliveries = retries === undefined ? attempts : retries + 1;
  if (deliveries !== undefined && deliveries > PORTABLE_ATTEMPTS) {
    const at = reader.at(retries === undefined ? "maxAttempts" : "maxRetries");
    problems.warn({
      segments: at.segments,
      message: `is more than the ${PORTABLE_ATTEMPTS} attempts that the OSSA schema allows`,
    });
  }
  return deliveries === undefined ? undefined : Math.max(1, deliveries);
}

function readBackoff(reader: ObjectReader | undefined): BackoffSpec | undefined {
  if (reader === undefined) return undefined;
  const strategy = reader.word("strategy", ["exponential", "linear", "constant", "fixed", "none"]);
  const { segments, problems } = reader.at("strategy");
  if (strategy === "fixed") problems.mark("D1", "strategy: fixed");
  if (strategy === "constant") problems.mark("D2", "strategy: constant");
  const initialDelayMs = reader.whole("initialDelayMs", DELAY);
  const maxDelayMs = reader.whole("maxDelayMs", DELAY);
  const multiplier = reader.number("multiplier", { min: 1 });
  if (strategy === "none") {
    if (initialDelayMs !== undefined && initialDelayMs > 0) {
      problems.warn({ segments, message: "is none, so that initialDelayMs is not used" });
    }
    return { strategy: "constant", initialDelayMs: 0 };
  }
  if (initialDelayMs !== undefined && maxDelayMs !== undefined && maxDelayMs < initialDelayMs) {
    problems.warn({
      segments: reader.at("maxDelayMs").segments,
      message: "is less than initialDelayMs, so that every delay is as long as it",
    });
  }
  return present<BackoffSpec>({
    strategy: strategy === "fixed" ? "constant" : strategy,
    initialDelayMs,
    maxDelayMs,
    multiplier,
  });
}

function readDeadLetters(reader: ObjectReader | undefined): DeadLetterSpec | undefined {
  if (reader === undefined) return undefined;
  const retentionDays = reader.whole("retentionDays", { min: 1, max: 365 });
  if (retentionDays !== undefined && retentionDays > 90)
    reader.at("retentionDays").problems.mark("D1", "retentionDays above 90");
  return present<DeadLetterSpec>({
    enabled: reader.flag("enabled"),
    channel: readChannel(reader),
    retentionDays,
  });
}

/** The dialects' patterns for channels do not apply here: their own examples have a hyphen. */
function readChannel(reader: ObjectReader): string | undefined {
  const channel = reader.text("channel");
  if (channel === undefined || isChannelName(channel)) return channel;
  return reader.wrong("channel", "a channel name: tokens of A-Z a-z 0-9 _ : - joined by dots");
}

function readOrdering(reader: ObjectReader | undefined): OrderingSpec | undefined {
  if (reader === undefined) return undefined;
  const guarantee = reader.word("guarantee", ["none", "per-source", "per-channel", "global"]);
  const { segments, problems } = reader.at("guarantee");
  if (segments.at(-1) === "mode") problems.mark("D2", "ordering.mode");
  else if (guarantee === "none" || guarantee === "per-channel")
    problems.mark("D1", `ordering.guarantee: ${guarantee}`);
  return present<OrderingSpec>({ guarantee, timeoutSeconds: reader.whole("timeoutSeconds", SECONDS) });
}

function readAcknowledgment(reader: ObjectReader | undefined): AcknowledgmentSpec | undefined {
  if (reader === undefined) return undefined;
  const written = reader.word("mode", ["auto", "manual", "automatic"]);
  const { problems } = reader.at("mode");
  if (written === "auto") problems.mark("D1", "acknowledgment.mode: auto");
  if (written === "automatic") problems.mark("D2", "acknowledgment.mode: automatic");
  const mode = written === "automatic" ? "auto" : written;
  return present<AcknowledgmentSpec>({ mode, timeoutSeconds: reader.whole("timeoutSeconds", SECONDS) });
}
