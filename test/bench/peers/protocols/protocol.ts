/**
 * What the load needs of a protocol: requests as bytes, and a reader that finds the replies in a stream, however the
 * network cut it. Every protocol here answers each request once, in order.
 */
import type { Values } from "../values";

export interface Protocol {
  /** Sent first on each connection; `isAccepted` judges the HTTP head that answers it. */
  readonly handshake?: { request: string; isAccepted: (head: string) => boolean };
  /** Whether several requests may be on their way on one connection. */
  readonly pipelines: boolean;
  /** Bytes that a request may take at most, and a batch beside its requests. */
  readonly requestBytesMax: number;
  readonly batchBytesExtra: number;
  /** Each writes one request and returns where it ends. */
  writeGet(into: Buffer, at: number, index: number, values: Values): number;
  writePut(into: Buffer, at: number, index: number, values: Values): number;
  /** Makes one message of the requests in [batchBytesExtra, end), with as many bytes to spare before; may change them. */
  closeBatch?(bytes: Buffer, end: number): Buffer;
  newReader(): Reader;
}

export interface Reader {
  /**
   * Tells `answers` of every whole reply in `bytes`; returns how many bytes were worked off. The rest comes again, with
   * more behind it. Throws where the bytes are no reply.
   */
  read(bytes: Buffer, view: DataView, answers: Answers): number;
}

/** Hears of replies in the order of the requests. */
export interface Answers {
  /** A get found this value. */
  value(view: DataView, at: number, length: number): void;
  miss(): void;
  stored(): void;
  /** The server refused the request. */
  refused(reason: string): void;
}

/** The replies of protocols whose stream is nothing but replies: `readOne` returns the reply's end, or 0 when it is cut. */
export function readerOf(
  readOne: (bytes: Buffer, view: DataView, at: number, answers: Answers) => number,
): Reader {
  return {
    read(bytes, view, answers) {
      let at = 0;
      while (at < bytes.length) {
        const next = readOne(bytes, view, at, answers);
        if (next === 0) break;
        at = next;
      }
      return at;
    },
  };
}

const CR = 0x0d;

/** Where the line that begins at `at` ends (its CR), or -1 when its LF is not there yet. */
export function lineEnd(bytes: Buffer, at: number): number {
  const end = bytes.indexOf(CR, at);
  return end < 0 || end + 1 >= bytes.length ? -1 : end;
}

/** The decimal number in [at, end). */
export function decimal(bytes: Buffer, at: number, end: number): number {
  let number = 0;
  for (let i = at; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) throw new Error(`not a number: ${bytes.toString("latin1", at, end)}`);
    number = number * 10 + digit;
  }
  return number;
}
