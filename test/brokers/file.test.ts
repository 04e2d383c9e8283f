import { describe, it } from "vitest";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { standsInReadme } from "../support/ability-matrix.ts";
import { fileHarness } from "../support/harness-file.ts";

testBroker(fileHarness, { describe, it });
standsInReadme(() => fileHarness, it);
