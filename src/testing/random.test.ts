import { expect, it } from "vitest";
import { randomInt, seededRandom, shuffled } from "./random.ts";

it("gives the same numbers for the same seed and others for another", () => {
  const numbers = (seed: number) => Array.from({ length: 5 }, seededRandom(seed));

  expect(numbers(7)).toEqual(numbers(7));
  expect(numbers(7)).not.toEqual(numbers(8));
});

it("spreads whole numbers over the whole range", () => {
  const random = seededRandom(1);
  const seen = new Set(Array.from({ length: 1000 }, () => randomInt(random, 10)));

  expect([...seen].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

it("shuffles without losing an item or touching the original", () => {
  const items = [1, 2, 3, 4, 5, 6, 7, 8];
  const result = shuffled(seededRandom(3), items);

  expect(result).not.toEqual(items);
  expect(result.toSorted((a, b) => a - b)).toEqual(items);
});
