/**
 * Looks over JSON text before it is parsed: how deep it nests and how many values it has. Parsing takes a worker for
 * as long as it takes, and what recurses over a value (checking, writing it again) has only so much stack.
 *
 * It does not tell whether the text is JSON. Its counts are right for text that is; the parser refuses all other text.
 */
import { RequestError } from "./errors";

/** A request has three levels, an array of them four; the rest is for an `id`. */
export const JSON_DEPTH_MAX = 64;

const QUOTE = '"';
const BACKSLASH = 0x5c;

/**
 * Throws MALFORMED (413) for text that is too deep, or has more than `valuesMax` values: arrays, objects, and what is in them. Keys
 * are not counted; an empty array or object counts as two.
 */
export function checkJsonShape(text: string, valuesMax: number): void {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = stringEnd(text, at + 1);
        break;
      case 0x2c: // ,
        values++;
        break;
      case 0x5b: // [
      case 0x7b: // {
        values++;
        if (++depth > JSON_DEPTH_MAX) throw tooLarge(`nested more than ${JSON_DEPTH_MAX} levels deep`);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
    }
    if (values > valuesMax) throw tooLarge(`more than ${valuesMax} values in one message (--max-batch)`);
  }
}

/** Index of the quote that ends the string; the text's length when there is none. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf(QUOTE, start); end >= 0; end = text.indexOf(QUOTE, end + 1)) {
    let backslashes = 0;
    while (end - backslashes > start && text.charCodeAt(end - backslashes - 1) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

function tooLarge(problem: string): RequestError {
  return new RequestError("MALFORMED", `JSON: ${problem}`, 413);
}
