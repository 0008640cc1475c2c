/** HTTP/1.1 with keep-alive, one request at a time: /get and /put with JSON, or raw values under /kv/. */
import { keyText } from "../../../../src/cli/bench/plan";
import { KEY_BYTES, VALUE_BYTES } from "../values";
import { type Answers, decimal, type Protocol, readerOf } from "./protocol";

const HOST = " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
const PUT_JSON_START = '{"key":"';
const PUT_JSON_MIDDLE = '","value":"';
const PUT_JSON_END = '"}';
const PUT_JSON_BYTES =
  PUT_JSON_START.length + KEY_BYTES + PUT_JSON_MIDDLE.length + VALUE_BYTES + PUT_JSON_END.length;
const PUT_HEAD = `POST /put${HOST}Content-Type: application/json\r\nContent-Length: ${PUT_JSON_BYTES}\r\n\r\n`;
/** What stands before the value in the answer to /get. */
const GET_JSON_START = `{"status":"OK","key":"${keyText(0)}","value":"`;
const GET_JSON_END = '"}';

const REQUEST_BYTES_MAX = 256;
const HEAD_END = "\r\n\r\n";
const CR = 0x0d;
const LF = 0x0a;
/** Of `HTTP/1.1 200 OK`. */
const STATUS_AT = 9;
const LENGTH_NAME = Buffer.from("content-length:");

/** GET /get and POST /put. */
export const httpJson: Protocol = {
  pipelines: false,
  requestBytesMax: REQUEST_BYTES_MAX,
  batchBytesExtra: 0,
  writeGet: (into, at, index) => at + into.write(`GET /get?key=${keyText(index)}${HOST}\r\n`, at, "latin1"),
  writePut(into, at, index, values) {
    at += into.write(`${PUT_HEAD}${PUT_JSON_START}${keyText(index)}${PUT_JSON_MIDDLE}`, at, "latin1");
    at = values.writeValue(into, at, index);
    return at + into.write(PUT_JSON_END, at, "latin1");
  },
  newReader: () => readerOf(readWith(200, GET_JSON_START.length, GET_JSON_END.length)),
};

/** GET and PUT /kv/{key}. */
export const httpRaw: Protocol = {
  pipelines: false,
  requestBytesMax: REQUEST_BYTES_MAX,
  batchBytesExtra: 0,
  writeGet: (into, at, index) => at + into.write(`GET /kv/${keyText(index)}${HOST}\r\n`, at, "latin1"),
  writePut(into, at, index, values) {
    const head = `PUT /kv/${keyText(index)}${HOST}Content-Length: ${VALUE_BYTES}\r\n\r\n`;
    return values.writeValue(into, at + into.write(head, at, "latin1"), index);
  },
  newReader: () => readerOf(readWith(204, 0, 0)),
};

/**
 * Reads responses of which a hit's body is `before` bytes, the value, `after` bytes. A put is answered with `putStatus`;
 * where that is 200 too, its body is shorter than any value's.
 */
function readWith(putStatus: number, before: number, after: number) {
  return (bytes: Buffer, view: DataView, at: number, answers: Answers): number => {
    const headEnd = bytes.indexOf(HEAD_END, at, "latin1");
    if (headEnd < 0) return 0;
    const status = decimal(bytes, at + STATUS_AT, at + STATUS_AT + 3);
    const body = headEnd + HEAD_END.length;
    const length = status === 204 ? 0 : contentLength(bytes, at, headEnd);
    const end = body + length;
    if (end > bytes.length) return 0;
    if (status === 200 && length >= before + VALUE_BYTES + after)
      answers.value(view, body + before, length - before - after);
    else if (status === putStatus) answers.stored();
    else if (status === 404) answers.miss();
    else answers.refused(`${status} ${bytes.toString("utf8", body, end)}`);
    return end;
  };
}

/** The head's Content-Length, whatever its case. Throws when there is none: nothing here is sent in chunks. */
function contentLength(bytes: Buffer, at: number, headEnd: number): number {
  for (let line = at; line < headEnd; line++) {
    if (bytes[line] !== LF || !isLengthLine(bytes, line + 1)) continue;
    let start = line + 1 + LENGTH_NAME.length;
    while (bytes[start] === 0x20) start++;
    return decimal(bytes, start, bytes.indexOf(CR, start));
  }
  throw new Error(`no Content-Length: ${bytes.toString("latin1", at, headEnd)}`);
}

function isLengthLine(bytes: Buffer, at: number): boolean {
  for (let i = 0; i < LENGTH_NAME.length; i++)
    if ((bytes[at + i]! | 0x20) !== (LENGTH_NAME[i]! | 0x20)) return false;
  return true;
}
