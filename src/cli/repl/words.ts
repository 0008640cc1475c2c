/**
 * A line as words, quoted as in a shell: blanks end a word; '…' takes everything as it is; in "…" a backslash keeps its meaning
 * before " \ $ and `; $'…' has \n \r \t \xHH \uHHHH, so that every key can be typed; elsewhere a backslash takes one character
 * as it is. Nothing else means something: there are no variables, patterns, pipes or redirections.
 */
import { CommandUsageError } from "../usage";

/** The quote that is open; empty for none. */
export type Quote = "" | "'" | '"' | "$'";

/** What is next in a line: text, blanks that end a word, or a quote that opens, or closes. */
type Piece = { text: string } | { quote: Quote } | "blanks" | "unfinished";
type Rule = readonly [pattern: RegExp, piece: (match: RegExpExecArray) => Piece];

export interface Line {
  words: string[];
  /** Where the last word begins; -1 when blanks came after it, or there is none. */
  lastStart: number;
  /** What is open at the end. */
  quote: Quote;
  /** The last character is a backslash that has nothing to stand before. */
  isUnfinished: boolean;
}

const CONTROLS: Record<string, string> = { n: "\n", r: "\r", t: "\t" };
const closes: Rule[1] = () => ({ quote: "" });
const isItself: Rule[1] = ([text]) => ({ text });
const isEscaped: Rule[1] = ([, text]) => ({ text: text! });
const isCodePoint: Rule[1] = ([, digits]) => ({ text: String.fromCodePoint(Number.parseInt(digits!, 16)) });

/** The first that fits; sticky. */
const RULES: Record<Quote, readonly Rule[]> = {
  "": [
    [/[ \t\r]+/y, () => "blanks"],
    [/\$'|['"]/y, ([quote]) => ({ quote: quote as Quote })],
    [/\\(.)/suy, isEscaped],
    [/\\/y, () => "unfinished"],
    [/[^ \t\r'"\\$]+|\$/y, isItself],
  ],
  "'": [
    [/'/y, closes],
    [/[^']+/y, isItself],
  ],
  '"': [
    [/"/y, closes],
    [/\\(["\\$`])/y, isEscaped],
    [/[^"\\]+|\\/y, isItself],
  ],
  "$'": [
    [/'/y, closes],
    [/\\x([0-9a-fA-F]{2})/y, isCodePoint],
    [/\\u([0-9a-fA-F]{4})/y, isCodePoint],
    [/\\(.)/suy, ([, character]) => ({ text: CONTROLS[character!] ?? character! })],
    [/\\/y, () => "unfinished"],
    [/[^'\\]+/y, isItself],
  ],
};

/** As far as it goes: also a line that is not finished, for its completion. */
export function split(text: string): Line {
  const line: Line = { words: [], lastStart: -1, quote: "", isUnfinished: false };
  for (let at = 0; at < text.length;) {
    const [piece, length] = pieceAt(text, at, line.quote);
    if (piece === "unfinished") line.isUnfinished = true;
    else if (piece === "blanks") line.lastStart = -1;
    else {
      if (line.lastStart < 0) {
        line.lastStart = at;
        line.words.push("");
      }
      if ("quote" in piece) line.quote = piece.quote;
      else line.words[line.words.length - 1] += piece.text;
    }
    at += length;
  }
  return line;
}

function pieceAt(text: string, at: number, quote: Quote): [Piece, length: number] {
  for (const [pattern, pieceOf] of RULES[quote]) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) return [pieceOf(match), match[0].length];
  }
  throw new Error("the rules of a quote have to cover every character");
}

/** The words of a line; none of an empty line or a comment. Throws a CommandUsageError. */
export function wordsOf(text: string): string[] {
  if (text.trimStart().startsWith("#")) return [];
  const { words, quote, isUnfinished } = split(text);
  if (quote !== "") throw new CommandUsageError(`the quote ${quote} is not closed`);
  if (isUnfinished) throw new CommandUsageError("a backslash at the end stands before nothing");
  return words;
}

const CONTROL = /[\0-\x1f\x7f-\x9f]/;

/** Text as it is typed where a quote is open, and stays open. */
export function quoted(text: string, quote: Quote): string {
  return [...text]
    .map((character) =>
      CONTROL.test(character) ? inControlQuote(character, quote) : asTyped(character, quote),
    )
    .join("");
}

/** What ends a word in which a quote is open. */
export function closing(quote: Quote): string {
  return quote === "$'" ? "'" : quote;
}

function asTyped(character: string, quote: Quote): string {
  if (quote === "'") return character === "'" ? "'\\''" : character;
  if (quote === "$'") return /['\\]/.test(character) ? `\\${character}` : character;
  if (quote === '"') return /["\\$`]/.test(character) ? `\\${character}` : character;
  // More than has a meaning here, so that the line means the same in a shell.
  return /[\w.,:@%+=/^\-]|[^\0-\x7f]/.test(character) ? character : `\\${character}`;
}

function inControlQuote(character: string, quote: Quote): string {
  const known = Object.entries(CONTROLS).find(([, control]) => control === character);
  const escape = known ? `\\${known[0]}` : `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`;
  return quote === "$'" ? escape : `${closing(quote)}$'${escape}'${quote}`;
}
