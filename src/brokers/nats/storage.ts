import type { Durability } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { StreamInfo } from "./api.ts";
import { isStreamMissing, isThereAlready } from "./errors.ts";
import type { NatsSettings } from "./options.ts";
import type { Session } from "./session.ts";

const NANOS = 1e6;
const LEVELS: readonly Durability[] = ["none", "process", "os", "power"];
/** Ids and notes end by a time of their own; this is for those that have none. */
const RECORD_MAX_AGE_MS = 0;
const MADE_IN = "herald-made-in";

/** The streams of a namespace: made where they are not there, taken as they are where they are. */
export class Storage {
  readonly #session: Session;
  #making: Promise<StreamInfo> | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Resolves to the stream of the messages once all of them stand. Rejects with `UNSUPPORTED` for a server that is too old. */
  stand(): Promise<StreamInfo> {
    this.#making ??= this.#stand().finally(() => (this.#making = undefined));
    return this.#making;
  }

  /** Makes the stream of the handled ids. */
  async standInbox(): Promise<void> {
    const { names } = this.#session;
    await this.#make(names.inbox, {
      subjects: [names.handledSubjects],
      max_msgs_per_subject: 1,
      allow_msg_ttl: true,
    });
  }

  async #stand(): Promise<StreamInfo> {
    const { link, names, settings } = this.#session;
    await this.#make(names.records, {
      subjects: names.recordSubjects,
      max_msgs_per_subject: 1,
      allow_msg_ttl: true,
      max_age: RECORD_MAX_AGE_MS,
    });
    const made = await this.#make(names.stream, {
      subjects: names.subjects,
      metadata: { [MADE_IN]: link.serverId },
      duplicate_window: Math.ceil(settings.dedupeWindowMs * NANOS),
      allow_msg_schedules: true,
      allow_msg_ttl: true,
    });
    if (made.config.allow_msg_schedules === true) return made;
    const message = `The stream '${names.stream}' has no scheduled messages: use a nats-server 2.12 or later, or another namespace if the stream is somebody else's.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { stream: names.stream } });
  }

  async #make(name: string, config: object): Promise<StreamInfo> {
    const { api, settings } = this.#session;
    try {
      return await api.call<StreamInfo>(`STREAM.INFO.${name}`);
    } catch (error) {
      if (!isStreamMissing(error)) throw error;
    }
    const { replicas, storage } = settings;
    const whole = {
      name,
      description: "Herald",
      retention: "limits",
      // Nothing is ever pushed out by what is new: what every group has acknowledged is let go of by its age.
      discard: "old",
      max_age: 0,
      storage,
      num_replicas: replicas,
      allow_direct: true,
      ...config,
    };
    try {
      return await api.call<StreamInfo>(`STREAM.CREATE.${name}`, whole);
    } catch (error) {
      if (!isThereAlready(error)) throw error;
      return api.call<StreamInfo>(`STREAM.INFO.${name}`);
    }
  }
}

/**
 * What an acknowledged publish survives. A stream in files survives the kill of its server, and `sync_interval`, which decides over a
 * crash of the system, is told to no client: `process` is what can be promised.
 */
export function durabilityOf({ config }: StreamInfo): Durability {
  return config.storage === "file" ? "process" : "none";
}

/** Which run of the server the stream was made in. */
export function madeIn({ config }: StreamInfo): string | undefined {
  return config.metadata?.[MADE_IN];
}

/** Refuses a stream that keeps less than is asked, or tells of it, as the policy says. */
export function judge(info: StreamInfo, settings: NatsSettings): void {
  const { requireDurability, onWeakDurability, tls } = settings;
  const durability = durabilityOf(info);
  if (LEVELS.indexOf(durability) < LEVELS.indexOf(requireDurability)) {
    const message = `NATS keeps messages at durability '${durability}' and '${requireDurability}' is asked for: make the stream with storage 'file', or lower requireDurability. More than 'process' no NATS server tells of.`;
    const error = new HeraldError("UNSAFE_STORAGE", message, { details: { durability } });
    if (onWeakDurability === "refuse") throw error;
    emit("fault", () => ({ agent: "", error, where: "nats durability" }));
  }
  if (tls?.insecure === true) {
    const message = "TLS certificates are not verified: anybody may be the server.";
    const error = new HeraldError("UNSAFE_STORAGE", message);
    emit("fault", () => ({ agent: "", error, where: "nats tls" }));
  }
}
