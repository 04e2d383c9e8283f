export { check, Checker } from "./checker/check.ts";
export {
  History,
  parseHistory,
  type DeadLetterCause,
  type HistoryEntry,
  type HistoryEvent,
} from "./checker/history.ts";
export type { CheckOptions } from "./checker/options.ts";
export {
  ANOMALIES,
  describeVerdict,
  type Anomaly,
  type Finding,
  type Tally,
  type Verdict,
} from "./checker/verdict.ts";
export {
  abilityMatrix,
  formatReport,
  type CaseResult,
  type ConformanceReport,
} from "./conformance/report.ts";
export { runConformance, type RunOptions } from "./conformance/run.ts";
export { testBroker, type TestContext, type TestRunner } from "./conformance/test-broker.ts";
export {
  TRAITS,
  type Address,
  type Bounds,
  type ChildModule,
  type CreateOptions,
  type Harness,
  type Need,
  type ServerControl,
  type Trait,
} from "./conformance/harness.ts";
export { FakeClock, settlePromises, type FakeClockOptions } from "./fake-clock.ts";
export { FaultProxy, type Way, type Weather } from "./fault-proxy.ts";
export { FlakyBroker, type Fault, type FaultRule } from "./flaky-broker.ts";
export { Crew, Member, type CrewOptions, type CrewRole, type MemberOptions } from "./process/crew.ts";
export { ProcessRun, type RunOptions as ProcessRunOptions, type RunResult } from "./process/run.ts";
export { CRASH_POINTS, type Behaviour, type Crash, type CrashPoint } from "./process/spec.ts";
export type * from "./service-port.ts";
export { TestService, type HandledRecord, type PublishedRecord } from "./test-service.ts";
export { RealTime, SteppedTime, type TestTime } from "./time.ts";
