import fc from "fast-check";
import { expect, it } from "vitest";
import { Heap } from "./heap.ts";

it("a heap gives back what was put in, in order, whatever is added and taken in between", () => {
  const step = fc.oneof(fc.record({ add: fc.integer() }), fc.constant("take" as const));
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const heap = new Heap<number>((a, b) => a < b);
      let model: number[] = [];
      for (const next of steps) {
        if (next === "take") {
          expect(heap.peek()).toBe(model[0]);
          expect(heap.pop()).toBe(model.shift());
        } else {
          heap.push(next.add);
          model = [...model, next.add].toSorted((a, b) => a - b);
        }
        expect(heap.size).toBe(model.length);
      }
      expect(heap.drain().toSorted((a, b) => a - b)).toEqual(model);
      expect(heap.size).toBe(0);
    }),
  );
});
