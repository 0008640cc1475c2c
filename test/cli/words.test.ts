/** Lines of the prompt as words: what each quote does, and that what Tab writes is read again as it was, here and in a shell. */
import { describe, expect, test } from "bun:test";
import { printable } from "../../src/cli/repl/printable";
import { closing, type Quote, quoted, wordsOf } from "../../src/cli/repl/words";
import { missingCommands, testThatNeeds } from "../support/needs";

const QUOTES: Quote[] = ["", "'", '"', "$'"];

describe("a line as words", () => {
  for (const [line, words] of [
    ["", []],
    ["  \t ", []],
    ["# put a b", []],
    ["  # put a b", []],
    ["get a", ["get", "a"]],
    ["  get   a \r", ["get", "a"]],
    ["put a#b #c", ["put", "a#b", "#c"]],
    ["put a ''", ["put", "a", ""]],
    ["put 'a b' \"c d\" e\\ f", ["put", "a b", "c d", "e f"]],
    ["a'b'\"c\"$'d'e", ["abcde"]],
    [String.raw`'a\n"b'`, [String.raw`a\n"b`]],
    [String.raw`"a\n\"\\\$'b"`, [String.raw`a\n"\$'b`]],
    [String.raw`$'\n\r\t\\\'\x41\u00e9\"'`, ["\n\r\t\\'Aé\""]],
    [String.raw`a\'b\"c\\d`, [`a'b"c\\d`]],
    ["$HOME ~ * | > & ; $", ["$HOME", "~", "*", "|", ">", "&", ";", "$"]],
    ["grüße '🍞' \\🍞", ["grüße", "🍞", "🍞"]],
  ] as const)
    test(JSON.stringify(line), () => {
      expect(wordsOf(line)).toEqual([...words]);
    });

  for (const [line, problem] of [
    ["get 'a", "the quote ' is not closed"],
    ['get "a', 'the quote " is not closed'],
    ["get $'a", "the quote $' is not closed"],
    ["get a\\", "a backslash at the end stands before nothing"],
  ] as const)
    test(`${line}: ${problem}`, () => {
      expect(() => wordsOf(line)).toThrow(problem);
    });
});

/** Every character of ASCII and some beyond, but for the null byte, which no shell can carry. */
const TEXT = `${Array.from({ length: 159 }, (_, i) => String.fromCharCode(i + 1)).join("")} é🍞\ufeff'a"b\\c$d\``;

describe("what Tab writes", () => {
  for (const quote of QUOTES) {
    const line = `x${quote}${quoted(TEXT, quote)}${closing(quote)}`;

    test(`is the same text again, in ${quote || "no quote"}`, () => {
      expect(wordsOf(line)).toEqual([`x${TEXT}`]);
    });

    test(`has no control characters, in ${quote || "no quote"}`, () => {
      expect(printable(line)).toBe(line);
    });

    testThatNeeds(missingCommands("bash"), `means the same in bash, in ${quote || "no quote"}`, async () => {
      const child = Bun.spawn(["bash", "-c", `printf %s ${line}`], {
        stdout: "pipe",
        env: { ...process.env, LC_ALL: "C.UTF-8" },
      });
      expect(await new Response(child.stdout).bytes()).toEqual(new TextEncoder().encode(`x${TEXT}`));
    });
  }
});

test("values on a terminal: control characters and bytes that are no text are shown", () => {
  expect(printable("a\tb\nc\r\x1b[2J\x7f\u0085é\ufeff")).toBe("a\tb\nc\\x0d\\x1b[2J\\x7f\\u0085é\ufeff");
  expect(printable(new Uint8Array([0x61, 0xff, 0x0a, 0x00, 0xc3]))).toBe("a\\xff\n\\x00\\xc3");
  expect(printable(new TextEncoder().encode("é"))).toBe("é");
});
