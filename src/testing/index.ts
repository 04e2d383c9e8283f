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
  type Bounds,
  type CreateOptions,
  type Harness,
  type Need,
  type Trait,
} from "./conformance/harness.ts";
export { FakeClock, settlePromises, type FakeClockOptions } from "./fake-clock.ts";
export { FlakyBroker, type Fault, type FaultRule } from "./flaky-broker.ts";
export type * from "./service-port.ts";
export { TestService, type HandledRecord, type PublishedRecord } from "./test-service.ts";
export { RealTime, SteppedTime, type TestTime } from "./time.ts";
