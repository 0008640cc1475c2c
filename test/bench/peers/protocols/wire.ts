/**
 * Breadbox's wire protocol in WebSocket frames (RFC 6455) over bare TCP: a batch is one masked frame, masked beforehand, so
 * that the load pays for neither.
 */
import { seededRandom } from "../../../../src/cli/bench/pick";
import { Field, Op, Status } from "../../../../src/protocol/wire";
import { KEY_BYTES, VALUE_BYTES } from "../values";
import type { Answers, Protocol, Reader } from "./protocol";

const OPCODE_BINARY = 2;
const OPCODE_PING = 9;
const FINAL = 0x80;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
/** Head of a client's frame with a 64-bit length. */
const HEAD_BYTES_MAX = 14;
const MASK_BYTES = 4;
const VALUE_HEAD_BYTES = 5;
const ERROR_HEAD_BYTES = 3;

const random = seededRandom(1);

export const wire: Protocol = {
  handshake: {
    request:
      "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    isAccepted: (head) => head.startsWith("HTTP/1.1 101"),
  },
  pipelines: true,
  requestBytesMax: 8 + KEY_BYTES + VALUE_BYTES,
  batchBytesExtra: HEAD_BYTES_MAX,

  writeGet(into, at, index, values) {
    into[at] = Op.GET;
    into[at + 1] = 0;
    into.writeUInt16LE(KEY_BYTES, at + 2);
    return values.writeKey(into, at + 4, index);
  },

  writePut(into, at, index, values) {
    into[at] = Op.PUT;
    into[at + 1] = Field.VALUE;
    into.writeUInt16LE(KEY_BYTES, at + 2);
    into.writeUInt32LE(VALUE_BYTES, at + 4);
    return values.writeValue(into, values.writeKey(into, at + 8, index), index);
  },

  closeBatch(bytes, end) {
    const payload = HEAD_BYTES_MAX;
    const length = end - payload;
    const extended = length < LENGTH_16 ? 0 : length < 65_536 ? 2 : 8;
    const frame = payload - MASK_BYTES - extended - 2;
    bytes[frame] = FINAL | OPCODE_BINARY;
    bytes[frame + 1] = MASKED | (extended === 0 ? length : extended === 2 ? LENGTH_16 : LENGTH_64);
    if (extended === 2) bytes.writeUInt16BE(length, frame + 2);
    if (extended === 8) bytes.writeBigUInt64BE(BigInt(length), frame + 2);
    const mask = payload - MASK_BYTES;
    for (let i = 0; i < MASK_BYTES; i++) bytes[mask + i] = Math.floor(random() * 256);
    for (let i = 0; i < length; i++) bytes[payload + i]! ^= bytes[mask + (i & 3)]!;
    return bytes.subarray(frame, end);
  },

  newReader: () => new WireReader(),
};

class WireReader implements Reader {
  /** Bytes of the frame under way that are still to be read. */
  private left = 0;

  read(bytes: Buffer, view: DataView, answers: Answers): number {
    let at = 0;
    for (;;) {
      if (this.left === 0) {
        const payload = this.openFrame(bytes, at);
        if (payload === 0) return at;
        at = payload;
        continue;
      }
      const next = readReply(bytes, view, at, answers);
      if (next === 0) return at;
      this.left -= next - at;
      if (this.left < 0) throw new Error("a reply runs past its frame");
      at = next;
    }
  }

  /** Where the frame's payload begins, or 0 when its head is cut. */
  private openFrame(bytes: Buffer, at: number): number {
    if (at + 2 > bytes.length) return 0;
    const short = bytes[at + 1]!;
    const head = short < LENGTH_16 ? 2 : short === LENGTH_16 ? 4 : 10;
    if (at + head > bytes.length) return 0;
    const opcode = bytes[at]! & 0x0f;
    const length =
      head === 2 ? short : head === 4 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
    if (opcode === OPCODE_PING && length === 0) return at + head;
    if (bytes[at] !== (FINAL | OPCODE_BINARY)) throw new Error(`a frame of opcode ${opcode}`);
    this.left = length;
    return at + head;
  }
}

/** Tells of the reply at `at`; returns its end, or 0 when it is cut. */
function readReply(bytes: Buffer, view: DataView, at: number, answers: Answers): number {
  if (at >= bytes.length) return 0;
  const status = bytes[at]!;
  if (status === Status.VALUE) {
    if (at + VALUE_HEAD_BYTES > bytes.length) return 0;
    const length = view.getUint32(at + 1, true);
    const end = at + VALUE_HEAD_BYTES + length;
    if (end > bytes.length) return 0;
    answers.value(view, at + VALUE_HEAD_BYTES, length);
    return end;
  }
  if (status === Status.OK) answers.stored();
  else if (status === Status.MISS) answers.miss();
  else return readError(bytes, view, at, answers);
  return at + 1;
}

function readError(bytes: Buffer, view: DataView, at: number, answers: Answers): number {
  if (bytes[at]! < Status.MALFORMED || bytes[at]! > Status.INTERNAL)
    throw new Error(`a reply of status ${bytes[at]}`);
  if (at + ERROR_HEAD_BYTES > bytes.length) return 0;
  const end = at + ERROR_HEAD_BYTES + view.getUint16(at + 1, true);
  if (end > bytes.length) return 0;
  answers.refused(bytes.toString("utf8", at + ERROR_HEAD_BYTES, end));
  return end;
}
