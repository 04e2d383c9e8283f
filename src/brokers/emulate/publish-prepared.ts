import type { Broker, BrokerPublishOptions, PublishResult } from "../../core/broker.ts";
import type { Envelope } from "../../core/envelope.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import type { FirstUse } from "./first-use.ts";

/**
 * Publishes once what each envelope needs is done: `nameOf` says what that is; undefined: nothing, an error: it cannot be
 * published. What could not be done fails the envelopes that need it, each in its place.
 */
export async function publishPrepared(
  broker: Broker,
  call: { readonly envelopes: readonly Envelope[]; readonly options: BrokerPublishOptions | undefined },
  needs: {
    readonly uses: FirstUse;
    readonly nameOf: (envelope: Envelope, at: number) => string | HeraldError | undefined;
  },
): Promise<readonly PublishResult[]> {
  const { envelopes, options } = call;
  const names = envelopes.map((envelope, at) => needs.nameOf(envelope, at));
  const failures = new Map<string, HeraldError>();
  const open = new Set(
    names.filter((name) => typeof name === "string" && !needs.uses.isDone(name)) as string[],
  );
  await Promise.all(
    [...open].map((name) =>
      needs.uses.do(name).catch((error: unknown) => failures.set(name, toHeraldError(error))),
    ),
  );
  const errors = names.map((name) => (typeof name === "string" ? failures.get(name) : name));
  if (errors.every((error) => error === undefined)) return broker.publish(envelopes, options);
  const passing = envelopes.filter((_envelope, at) => errors[at] === undefined);
  const results = (passing.length === 0 ? [] : await broker.publish(passing, options)).values();
  return errors.map((error) =>
    error === undefined ? (results.next().value as PublishResult) : { ok: false, error },
  );
}
