import { describe, expect, expectTypeOf, it } from "vitest";
import { defineChannel, type ChannelDefinition } from "./channel-definition.ts";
import { MessagingService } from "./service.ts";
import type { StandardSchemaV1 } from "./schema/standard-schema.ts";

describe("defineChannel", () => {
  it("takes the payload's type from a type argument", () => {
    const orders = defineChannel<{ total: number }>("orders.created");

    expectTypeOf(orders).toEqualTypeOf<ChannelDefinition<{ total: number }>>();
    expect(orders).toEqual({ channel: "orders.created", schema: undefined });
  });

  it("takes the payload's type from a JSON Schema that is written out", () => {
    const schema = {
      type: "object",
      properties: { total: { type: "number" }, note: { type: "string" } },
      required: ["total"],
    } as const;
    const orders = defineChannel("orders.created", { schema });

    expectTypeOf(orders.payload).toExtend<{ total: number; note?: string } | undefined>();
    // @ts-expect-error -- the schema says that total is a number
    const wrong: NonNullable<typeof orders.payload> = { total: "much" };
    expect(wrong.total).toBe("much");
    expect(orders.schema).toBe(schema);
  });

  it("takes the payload's type from a Standard Schema's output", () => {
    const schema = {
      "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value: Number(value) }) },
    } as StandardSchemaV1<string, number>;

    expectTypeOf(defineChannel("orders.total", { schema }).payload).toEqualTypeOf<number | undefined>();
  });

  it("holds publishers to its schema as well as handlers", async () => {
    const schema = {
      type: "object",
      properties: { total: { type: "number" } },
      required: ["total"],
    } as const;
    const orders = defineChannel("orders.created", { schema });
    await using service = new MessagingService({ agentId: "shop" });
    await service.start();
    const handled: number[] = [];
    await service.subscribe(orders, ({ payload }) => void handled.push(payload.total));

    await service.publish(orders, { total: 1 });
    const refused = service.publish(orders, { total: "much" } as unknown as { total: number });
    await expect(refused).rejects.toMatchObject({ code: "SCHEMA_VIOLATION" });
    await service.publish("orders.created", { total: "much" });

    await expect.poll(() => service.getMetrics().deadLettered).toBe(1);
    expect(handled).toEqual([1]);
  });

  it("refuses a pattern", () => {
    expect(() => defineChannel("orders.*")).toThrow(expect.objectContaining({ code: "INVALID_CHANNEL" }));
  });
});
