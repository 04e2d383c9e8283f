import type { Broker, SubscriptionSpec } from "../../../src/core/broker.ts";
import { BrokerWrapper } from "../../../src/core/broker-wrapper.ts";
import { twist, type Mutant } from "./mutant.ts";

/** Faults in who gets what, and in what is said about it. */
export const subscribingMutants: readonly Mutant[] = [
  {
    name: "forgets where a group stopped",
    expected: "lost-postfix",
    near: ["b-group-returns"],
    wrap(broker) {
      const members = new Map<string, { live: number; generation: number }>();
      const nameOf = ({ pattern, group }: SubscriptionSpec) => `${pattern} ${group}`;
      let current = "";
      return twist(broker, {
        subscribe(spec) {
          if (spec.group === null) return spec;
          current = nameOf(spec);
          const state = members.get(current) ?? { live: 0, generation: 0 };
          members.set(current, state);
          if (state.live > 0) state.generation++;
          state.live++;
          return state.generation === 0 ? spec : { ...spec, group: `${spec.group}-${state.generation}` };
        },
      });
    },
  },
  {
    name: "lets a star stand for several tokens",
    expected: "assertion",
    near: ["a05", "a-star"],
    wrap: (broker) =>
      twist(broker, { subscribe: (spec) => ({ ...spec, pattern: spec.pattern.replace(/\.\*$/, ".#") }) }),
  },
  {
    name: "gives a broadcast to one only",
    expected: "lost-prefix",
    near: ["b-broadcast"],
    wrap: (broker) =>
      twist(broker, { subscribe: (spec) => (spec.group === null ? { ...spec, group: "everybody" } : spec) }),
  },
  {
    name: "gives every member of a group everything",
    expected: "resurrect",
    near: ["b-shared"],
    wrap: (broker) => twist(broker, { subscribe: (spec) => ({ ...spec, group: null }) }),
  },
  {
    name: "replays from the beginning whatever was asked for",
    expected: "assertion",
    near: ["b-replay"],
    wrap: (broker) =>
      twist(broker, {
        subscribe: (spec) => (typeof spec.from === "object" ? { ...spec, from: "earliest" } : spec),
      }),
  },
  {
    name: "gives a new group what was there before",
    expected: "assertion",
    near: ["b02", "a-nobody"],
    wrap: (broker) => twist(broker, { subscribe: (spec) => ({ ...spec, from: spec.from ?? "earliest" }) }),
  },
  {
    name: "takes strict order for relaxed",
    expected: "reorder",
    near: ["b05"],
    wrap: (broker) => twist(broker, { subscribe: (spec) => ({ ...spec, ordering: "relaxed" }) }),
  },
  {
    name: "loses what a closing subscription had not handed out",
    expected: "lost-prefix",
    near: ["h-closing-releases"],
    wrap: (broker) =>
      twist(broker, {
        async close(inner) {
          const buffered = await inner.receive(5, 0);
          await inner.settle(buffered.map((delivery) => ({ kind: "ack", delivery })));
        },
      }),
  },
  {
    name: "says that nobody lags",
    expected: "assertion",
    near: ["h-lag"],
    wrap: (broker) =>
      twist(broker, {
        inspect: (report) => ({
          ...report,
          channels: report.channels.map((channel) => ({
            ...channel,
            groups: channel.groups.map((group) => ({ ...group, lag: 0 })),
          })),
        }),
      }),
  },
  {
    name: "drops without counting",
    expected: "silent-loss",
    near: ["g02"],
    wrap: (broker) => twist(broker, { inspect: (report) => ({ ...report, dropped: 0 }) }),
  },
  {
    name: "claims leases that it does not keep",
    expected: "assertion",
    near: ["ability-lease"],
    wrap: (broker) => twist(broker, { capabilities: (capabilities) => ({ ...capabilities, lease: true }) }),
  },
  {
    name: "denies an ability and does not refuse it",
    expected: "assertion",
    near: ["ability-delay"],
    wrap: (broker) => twist(broker, { capabilities: (capabilities) => ({ ...capabilities, delay: false }) }),
  },
  {
    name: "says that it erased what is still there",
    expected: "assertion",
    near: ["h-admin"],
    wrap: (broker) => new KeepingBroker(broker),
  },
  {
    name: "opens twice without a word",
    expected: "assertion",
    near: ["h-open"],
    wrap: (broker) => new ReopeningBroker(broker),
  },
];

class KeepingBroker extends BrokerWrapper {
  override readonly admin;

  constructor(inner: Broker) {
    super(inner);
    const { admin } = inner;
    if (admin === undefined) throw new Error("This mutant needs a broker with admin.");
    this.admin = {
      list: () => admin.list(),
      declare: admin.declare.bind(admin),
      remove: admin.remove.bind(admin),
      purge: admin.purge.bind(admin),
      browse: admin.browse.bind(admin),
      erase: (_channel: string, positions: readonly string[]) => Promise.resolve(positions.length),
    };
  }
}

class ReopeningBroker extends BrokerWrapper {
  #opened: ReturnType<Broker["open"]> | undefined;

  override open(): ReturnType<Broker["open"]> {
    return (this.#opened ??= this.inner.open());
  }
}
