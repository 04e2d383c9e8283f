/** One step into a value: a key or an index. */
export type Segment = string | number;

const PLAIN_KEY = /^[A-Za-z_$~][\w$-]*$/;

/** Steps as people write them: `data.items[0]["odd key"].name`; empty for the value itself. */
export function pathText(segments: readonly Segment[]): string {
  let text = "";
  for (const segment of segments) {
    if (typeof segment === "number") text += `[${segment}]`;
    else if (PLAIN_KEY.test(segment)) text += text === "" ? segment : `.${segment}`;
    else text += `[${JSON.stringify(segment)}]`;
  }
  return text;
}
