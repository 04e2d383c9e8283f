import type { Broker } from "../core/broker.ts";
import { FailoverBroker } from "../brokers/failover/broker.ts";
import { FileBroker } from "../brokers/file/broker.ts";
import type { Logger } from "../core/logger.ts";

/** How a bus works, by the names of its document; all optional. */
export interface MessageBusConfig {
  /** Folder of the file side. Default `.herald`. */
  readonly fileMessagingDir?: string;
  /** How often files are looked at besides being watched, milliseconds. Default 50. */
  readonly pollingInterval?: number;
  /** Default false: handled messages stay for a while. */
  readonly deleteProcessedMessages?: boolean;
  /** How long they stay, milliseconds. Default 3,600,000. */
  readonly messageMaxAge?: number;
  /** Publishes that may wait for the primary; more are pushed back, then go to files. Default 10,000. */
  readonly maxPendingMessages?: number;
  /** How long a message is worth handling, milliseconds. Default 60,000. */
  readonly messageTimeout?: number;
  /** How often a failed handler is tried again. Default 3. */
  readonly retryAttempts?: number;
  /** The first wait before that, milliseconds; doubled every time. Default 1000. */
  readonly retryDelay?: number;
}

/** What a bus is made of. */
export interface MessageBusOptions {
  /** Names this party: buses of one name share their messages. */
  readonly agentId: string;
  /** The broker to use as it is; a failover broker gives the bus its modes. Absent: see `primary`. */
  readonly broker?: Broker;
  /** Where messages go while it is well, with files to fall back to. Null or absent, without `broker`: files alone. */
  readonly primary?: Broker | null;
  readonly config?: MessageBusConfig;
  readonly logger?: Logger;
}

/** The broker that the options describe. */
export function busBroker({ broker, primary, config = {} }: MessageBusOptions): Broker {
  if (broker !== undefined) return broker;
  const { fileMessagingDir, pollingInterval, deleteProcessedMessages, messageMaxAge, maxPendingMessages } =
    config;
  const files = new FileBroker({
    ...(fileMessagingDir === undefined ? {} : { fileMessagingDir }),
    ...(pollingInterval === undefined ? {} : { pollingInterval }),
    ...(deleteProcessedMessages === undefined ? {} : { deleteProcessedMessages }),
    ...(messageMaxAge === undefined ? {} : { messageMaxAge }),
  });
  if (primary === undefined || primary === null) return files;
  const bound = maxPendingMessages === undefined ? {} : { maxPendingMessages };
  return new FailoverBroker({ primary, fallback: files, ...bound });
}
