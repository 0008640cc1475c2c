/** RESP2, as Redis and Pogocache speak it: GET and SET. */
import { KEY_BYTES, VALUE_BYTES } from "../values";
import { type Answers, decimal, lineEnd, type Protocol, readerOf } from "./protocol";

const GET_HEAD = `*2\r\n$3\r\nGET\r\n$${KEY_BYTES}\r\n`;
const SET_HEAD = `*3\r\n$3\r\nSET\r\n$${KEY_BYTES}\r\n`;
const VALUE_HEAD = `\r\n$${VALUE_BYTES}\r\n`;
const CRLF = "\r\n";
const DOLLAR = 0x24;
const PLUS = 0x2b;
const MINUS = 0x2d;

export const resp: Protocol = {
  pipelines: true,
  requestBytesMax: SET_HEAD.length + KEY_BYTES + VALUE_HEAD.length + VALUE_BYTES + CRLF.length,
  batchBytesExtra: 0,

  writeGet(into, at, index, values) {
    at = values.writeKey(into, at + into.write(GET_HEAD, at, "latin1"), index);
    return at + into.write(CRLF, at, "latin1");
  },

  writePut(into, at, index, values) {
    at = values.writeKey(into, at + into.write(SET_HEAD, at, "latin1"), index);
    at = values.writeValue(into, at + into.write(VALUE_HEAD, at, "latin1"), index);
    return at + into.write(CRLF, at, "latin1");
  },

  newReader: () => readerOf(readReply),
};

function readReply(bytes: Buffer, view: DataView, at: number, answers: Answers): number {
  const end = lineEnd(bytes, at);
  if (end < 0) return 0;
  const kind = bytes[at];
  if (kind === DOLLAR) return readBulk(bytes, view, at, end, answers);
  if (kind === PLUS) answers.stored();
  else if (kind === MINUS) answers.refused(bytes.toString("utf8", at + 1, end));
  else throw new Error(`a reply of kind ${String.fromCharCode(kind!)}`);
  return end + CRLF.length;
}

function readBulk(bytes: Buffer, view: DataView, at: number, headEnd: number, answers: Answers): number {
  const start = headEnd + CRLF.length;
  if (bytes[at + 1] === MINUS) {
    answers.miss();
    return start;
  }
  const length = decimal(bytes, at + 1, headEnd);
  const end = start + length + CRLF.length;
  if (end > bytes.length) return 0;
  answers.value(view, start, length);
  return end;
}
