/**
 * memcached's text protocol: gets and sets, one behind the other. `memcacheMulti` joins gets that follow each other into one
 * with many keys, as clients of memcached do; a miss in it is told by nothing, so a key that is missing shows as the
 * wrong value of the one before.
 */
import { KEY_BYTES, VALUE_BYTES } from "../values";
import { type Answers, decimal, lineEnd, type Protocol, readerOf } from "./protocol";

const SET_FIELDS = ` 0 0 ${VALUE_BYTES}\r\n`;
const CRLF = "\r\n";
const END = "END\r\n";
const SPACE = 0x20;
/** Gets that follow each other. */
const GETS = /(?:get \S+\r\n)+/g;
/** What a line begins with, by its first two letters: VALUE, END, STORED; all else is an error. */
const [VALUE_LINE, END_LINE, STORED_LINE] = ["VA", "EN", "ST"].map(
  (text) => text.charCodeAt(0) | (text.charCodeAt(1) << 8),
);

export const memcache: Protocol = {
  pipelines: true,
  requestBytesMax: "set ".length + KEY_BYTES + SET_FIELDS.length + VALUE_BYTES + CRLF.length,
  batchBytesExtra: 0,

  writeGet(into, at, index, values) {
    at = values.writeKey(into, at + into.write("get ", at, "latin1"), index);
    return at + into.write(CRLF, at, "latin1");
  },

  writePut(into, at, index, values) {
    at = values.writeKey(into, at + into.write("set ", at, "latin1"), index);
    at = values.writeValue(into, at + into.write(SET_FIELDS, at, "latin1"), index);
    return at + into.write(CRLF, at, "latin1");
  },

  newReader: () => readerOf(readReply),
};

export const memcacheMulti: Protocol = {
  ...memcache,
  closeBatch: (bytes, end) => Buffer.from(bytes.toString("latin1", 0, end).replace(GETS, joined), "latin1"),
  newReader: () => readerOf(readMulti),
};

/** `get a` and `get b` as `get a b`. */
function joined(gets: string): string {
  return gets.replaceAll(`${CRLF}get `, " ");
}

function readReply(bytes: Buffer, view: DataView, at: number, answers: Answers): number {
  const end = lineEnd(bytes, at);
  if (end < 0) return 0;
  const begins = view.getUint16(at, true);
  if (begins === VALUE_LINE) return readValue(bytes, view, end, answers);
  if (begins === END_LINE) answers.miss();
  else if (begins === STORED_LINE) answers.stored();
  else answers.refused(bytes.toString("utf8", at, end));
  return end + CRLF.length;
}

/** As readReply, with an END behind the last value only. */
function readMulti(bytes: Buffer, view: DataView, at: number, answers: Answers): number {
  const end = lineEnd(bytes, at);
  if (end < 0) return 0;
  const begins = view.getUint16(at, true);
  if (begins === END_LINE) return end + CRLF.length;
  if (begins !== VALUE_LINE) return readReply(bytes, view, at, answers);
  const length = lengthIn(bytes, end);
  const start = end + CRLF.length;
  if (start + length + CRLF.length > bytes.length) return 0;
  answers.value(view, start, length);
  return start + length + CRLF.length;
}

/** The length that a VALUE line names last. */
function lengthIn(bytes: Buffer, headEnd: number): number {
  return decimal(bytes, bytes.lastIndexOf(SPACE, headEnd) + 1, headEnd);
}

/** The data of a VALUE line that ends at `headEnd`, and the END behind it. */
function readValue(bytes: Buffer, view: DataView, headEnd: number, answers: Answers): number {
  const length = lengthIn(bytes, headEnd);
  const start = headEnd + CRLF.length;
  const end = start + length + CRLF.length + END.length;
  if (end > bytes.length) return 0;
  if (view.getUint16(end - END.length, true) !== END_LINE)
    throw new Error("a value of another length than announced");
  answers.value(view, start, length);
  return end;
}
