export type { EmulateOptions } from "./emulation.ts";
export { withBroadcast, type BroadcastOptions } from "./broadcast.ts";
export { withWildcard } from "./wildcard.ts";
export { withPriority, type PriorityOptions } from "./priority.ts";
export { withDelay } from "./delay.ts";
