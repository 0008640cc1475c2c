/** A stream of bytes as records that a byte ends: the lines of a script, or keys for which line breaks are too little. */
import { CommandUsageError } from "./usage";

export const LINE_BREAK = 0x0a;
export const NULL_BYTE = 0;

export interface RecordBounds {
  /** The byte that ends a record; the last one may go without. */
  end: number;
  /** The longest record, in bytes. */
  bytesMax: number;
  /** What a record is, for errors. */
  what: string;
}

/**
 * The records as text, those together that arrived together.
 * Throws a CommandUsageError for a record that is too long, or is not UTF-8: another key would be taken for it.
 */
export async function* records(
  input: AsyncIterable<Uint8Array>,
  bounds: RecordBounds,
): AsyncGenerator<string[], void, undefined> {
  let count = 0;
  const textOf = (bytes: Uint8Array) => {
    count++;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new CommandUsageError(`standard input: ${bounds.what} ${count} is not UTF-8`);
    }
  };
  let begun: Uint8Array[] = [];
  let begunBytes = 0;
  for await (const chunk of input) {
    const complete: string[] = [];
    let from = 0;
    for (let to = chunk.indexOf(bounds.end); ; to = chunk.indexOf(bounds.end, from)) {
      const piece = chunk.subarray(from, to < 0 ? chunk.length : to);
      begunBytes += piece.length;
      if (begunBytes > bounds.bytesMax)
        throw new CommandUsageError(
          `standard input: ${bounds.what} ${count + 1} is longer than ${bounds.bytesMax} bytes`,
        );
      begun.push(piece);
      if (to < 0) break;
      complete.push(textOf(Buffer.concat(begun)));
      begun = [];
      begunBytes = 0;
      from = to + 1;
    }
    if (complete.length > 0) yield complete;
  }
  if (begunBytes > 0) yield [textOf(Buffer.concat(begun))];
}
