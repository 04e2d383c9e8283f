import { describe, expect, it } from "vitest";
import { SharedLook } from "./shared-look.ts";

describe("a look that is shared", () => {
  const watched = () => {
    const asked: PromiseWithResolvers<void>[] = [];
    const look = new SharedLook(() => {
      const question = Promise.withResolvers<void>();
      asked.push(question);
      return question.promise;
    });
    return { asked, look };
  };

  it("answers nobody with a question that was asked before his call", async () => {
    const { asked, look } = watched();
    const first = look.look();
    const others = [look.look(), look.look()];
    expect(asked.length).toBe(1);
    asked[0]?.resolve();
    await first;
    await expect.poll(() => asked.length).toBe(2);
    asked[1]?.resolve();
    await Promise.all(others);
    expect(asked.length).toBe(2);
  });

  it("asks again for those who came while a question failed", async () => {
    const { asked, look } = watched();
    const first = look.look();
    const second = look.look();
    asked[0]?.reject(new Error("lost"));
    await expect(first).rejects.toThrow("lost");
    await expect.poll(() => asked.length).toBe(2);
    asked[1]?.resolve();
    await second;
  });
});
