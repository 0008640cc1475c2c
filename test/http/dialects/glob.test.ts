/** Patterns of KEYS and SCAN: what Redis's own matcher (util.c: stringmatchlen) answers. */
import { expect, test } from "bun:test";
import { Glob } from "../../../src/http/dialects/glob";
import { Random } from "../../support/random";

const matches = (pattern: string, key: string) => new Glob(Buffer.from(pattern)).matches(Buffer.from(key));

test("stars, marks, sets and escapes", () => {
  const cases: Record<string, { yes: string[]; no: string[] }> = {
    "*": { yes: ["", "a", "a:b"], no: [] },
    "": { yes: [""], no: ["a"] },
    "a*": { yes: ["a", "ab", "a*"], no: ["", "ba"] },
    "*a": { yes: ["a", "ba", "aa"], no: ["ab"] },
    "a*b*c": { yes: ["abc", "aXbYc", "abbcc"], no: ["acb", "abcd"] },
    "**a**": { yes: ["a", "bab"], no: ["b"] },
    "h?llo": { yes: ["hello", "h?llo"], no: ["hllo", "heello"] },
    "h[ae]llo": { yes: ["hello", "hallo"], no: ["hillo", "hllo"] },
    "h[^e]llo": { yes: ["hallo"], no: ["hello"] },
    "h[a-c]llo": { yes: ["hbllo"], no: ["hdllo"] },
    "h[c-a]llo": { yes: ["hbllo"], no: ["hdllo"] },
    "[\\]]": { yes: ["]"], no: ["\\", "a"] },
    "a[bc": { yes: ["ab", "ac"], no: ["a", "ad"] },
    "\\*": { yes: ["*"], no: ["a", "\\*"] },
    "a\\?": { yes: ["a?"], no: ["ab"] },
    "[]a": { yes: [], no: ["a", "]a"] },
    "[^]a": { yes: ["xa", "]a"], no: ["a"] },
    "[^a-c\\-]": { yes: ["d"], no: ["b", "-"] },
    "[a-": { yes: ["a", "-"], no: ["b"] },
    "[a-]": { yes: ["]", "a", "_"], no: ["-", "b"] },
    "a\\": { yes: ["a\\"], no: ["a"] },
    "*[a-f]?": { yes: ["ab", "xxfz"], no: ["a", "xxgz"] },
    "é?": { yes: ["éa"], no: ["é"] },
    "user:*:cart": { yes: ["user:1:cart", "user::cart"], no: ["user:1:cart2"] },
  };
  for (const [pattern, { yes, no }] of Object.entries(cases)) {
    for (const key of yes)
      expect({ pattern, key, is: matches(pattern, key) }).toEqual({ pattern, key, is: true });
    for (const key of no)
      expect({ pattern, key, is: matches(pattern, key) }).toEqual({ pattern, key, is: false });
  }
});

test("what every match begins with", () => {
  for (const [pattern, start] of [
    ["user:*", "user:"],
    ["a?b", "a"],
    ["[ab]", ""],
    ["a\\*", "a"],
    ["plain", "plain"],
  ] as const)
    expect(new Glob(Buffer.from(pattern)).literalStart.toString()).toBe(start);
});

test("the same as a regular expression, for random patterns of stars and marks", () => {
  const random = new Random(1);
  const some = (letters: string, length: number) =>
    Array.from({ length: random.below(length) }, () => letters[random.below(letters.length)]!).join("");
  for (let i = 0; i < 3000; i++) {
    const pattern = some("ab*?", 9);
    const key = some("ab", 9);
    const like = new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`);
    expect({ pattern, key, is: matches(pattern, key) }).toEqual({ pattern, key, is: like.test(key) });
  }
});

test("a pattern that is made to take long takes steps in proportion to pattern and key", () => {
  const pattern = Buffer.from(`*${"a".repeat(20)}*${"a".repeat(20)}b`);
  let reads = 0;
  const key = new Proxy(Buffer.alloc(1000, "a"), {
    get(target, name) {
      if (typeof name === "string" && /^\d+$/.test(name)) reads++;
      return Reflect.get(target, name, target) as unknown;
    },
  });
  expect(new Glob(pattern).matches(key)).toBe(false);
  expect(reads).toBeGreaterThan(10_000);
  expect(reads).toBeLessThan(pattern.length * 1000);
});
