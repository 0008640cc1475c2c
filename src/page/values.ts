/** What a value can be shown as, by its Content-Type and its bytes. What is shown is text, or a picture of points: nothing that could run. */

export type View = "text" | "json" | "hex" | "image";

/** Pictures that browsers only decode. SVG is a document, and is shown as text. */
const PICTURES: ReadonlySet<string> = new Set([
  "image/png",
  "image/jpeg",
  "image/gif",
  "image/webp",
  "image/avif",
]);
const HEX_WIDTH = 16;
/** Of JSON: strings, empty brackets, brackets and signs, everything else. */
const TOKENS = /"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}[\],:]|[^\s{}[\],:"]+/g;
/** At the end of a beginning, a character may be cut in two. */
const CUT_MAX = 3;

export interface Shown {
  readonly contentType: string;
  /** All of the value, or its beginning. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isWhole: boolean;
}

export function viewsOf(value: Shown): View[] {
  const views: View[] = ["hex"];
  const text = textIn(value);
  if (text !== null) views.unshift("text");
  if (text !== null && prettyJson(value) !== null) views.unshift("json");
  if (pictureType(value) !== null) views.unshift("image");
  return views;
}

/** The type of a whole value that is a picture; null for everything else. */
export function pictureType({ contentType, isWhole }: Shown): string | null {
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  return isWhole && PICTURES.has(type) ? type : null;
}

/** Null where the bytes are no UTF-8. */
export function textIn({ bytes, isWhole }: Shown): string | null {
  for (let cut = 0; cut <= (isWhole ? 0 : CUT_MAX); cut++) {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, bytes.length - cut));
    } catch {
      // No text, or one that is cut elsewhere.
    }
  }
  return null;
}

/** Indented; null where it is none, or only its beginning is there. */
export function prettyJson(value: Shown): string | null {
  if (!value.isWhole) return null;
  try {
    const text = textIn(value) ?? "";
    JSON.parse(text);
    return indented(text);
  } catch {
    return null;
  }
}

/** Only the space between the tokens is another: numbers stay as they were written, however long. @param text valid JSON */
function indented(text: string): string {
  let depth = 0;
  const line = (change: number) => `\n${"  ".repeat((depth += change))}`;
  return (text.match(TOKENS) ?? [])
    .map((token) => {
      if (token === ":") return ": ";
      if (token === ",") return `,${line(0)}`;
      if (token === "{" || token === "[") return `${token}${line(1)}`;
      return token === "}" || token === "]" ? `${line(-1)}${token}` : token;
    })
    .join("");
}

/** Offset, bytes, and what of them is ASCII. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += HEX_WIDTH) {
    const part = [...bytes.subarray(at, at + HEX_WIDTH)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const ascii = part
      .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."))
      .join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex.padEnd(HEX_WIDTH * 3)} ${ascii}`);
  }
  return lines.join("\n");
}
