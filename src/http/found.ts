/**
 * Answers to a GET that finds its key: the value goes from the store straight to its place in the outbox, behind a head
 * that is written at the moment when its length is known. Values too long for that get a buffer of their own.
 */
import type { ValueSink } from "../commands/commands";
import type { Connection } from "../net/connection";
import { PIECE_BYTES_MAX, type Outbox } from "../net/outbox";
import { PlainText } from "./plain";
import { JSON_TYPE } from "./message/reply";
import { PreparedHead, writeDecimal } from "./message/write";

export const BYTES_TYPE = "Content-Type: application/octet-stream\r\n";

/** More than any head here takes. */
const HEAD_BYTES_MAX = 512;
const QUOTE = 0x22;
const BRACE = 0x7d;
const JSON_HEAD = new PreparedHead(200, JSON_TYPE, "Content-Length: ");
const JSON_START = Buffer.from('{"status":"OK","key":"');
const JSON_MIDDLE = Buffer.from('","value":"');
const JSON_FRAME_BYTES = JSON_START.length + JSON_MIDDLE.length + 2;
const RAW_HEAD = new PreparedHead(200, BYTES_TYPE, 'ETag: "');
const RAW_MIDDLE = Buffer.from('"\r\nContent-Length: ');
const HEAD_END = Buffer.from("\r\n\r\n");

const text = new PlainText();

/** Takes a value into the outbox, behind what stands before it. */
abstract class Found implements ValueSink {
  bytes: Buffer = HEAD_END;
  start = 0;
  end = 0;
  version = 0;
  protected outbox!: Outbox;

  /** Where nothing stands before it. */
  protected abstract writeStart(bytes: Buffer, at: number, length: number): number;
  /** What the whole takes beside the value. */
  protected abstract frameBytes(): number;

  /** Before each value. Within an event of the connection. */
  open(connection: Connection): void {
    this.outbox = connection.room(PIECE_BYTES_MAX);
  }

  begin(length: number, version: number): number {
    this.version = version;
    const fits = this.frameBytes() + length <= PIECE_BYTES_MAX;
    this.bytes = fits ? this.outbox.bytes : Buffer.allocUnsafe(length);
    this.start = fits ? this.writeStart(this.bytes, this.outbox.length, length) : 0;
    this.end = this.start + length;
    return this.start;
  }

  /** How long the value is. */
  get byteCount(): number {
    return this.end - this.start;
  }

  /** It lies in the outbox. */
  protected get isInPlace(): boolean {
    return this.bytes === this.outbox.bytes;
  }

  /** The value in a buffer of its own. */
  value(): Buffer {
    const value = this.bytes.subarray(this.start, this.end);
    return this.isInPlace ? Buffer.from(value) : value;
  }
}

/** {"status":"OK","key":"…","value":"…"} with a plain key. */
export class FoundJson extends Found {
  private key: Buffer = HEAD_END;
  private keyStart = 0;
  private keyEnd = 0;

  openWith(connection: Connection, key: Buffer, keyStart: number, keyEnd: number): void {
    this.open(connection);
    this.key = key;
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
  }

  protected frameBytes(): number {
    return HEAD_BYTES_MAX + this.keyEnd - this.keyStart;
  }

  protected writeStart(bytes: Buffer, at: number, length: number): number {
    const { key, keyStart, keyEnd } = this;
    at += JSON_HEAD.current().copy(bytes, at);
    at = writeDecimal(bytes, at, JSON_FRAME_BYTES + keyEnd - keyStart + length);
    at += HEAD_END.copy(bytes, at);
    at += JSON_START.copy(bytes, at);
    at += key.copy(bytes, at, keyStart, keyEnd);
    return at + JSON_MIDDLE.copy(bytes, at);
  }

  /** Whether the answer is written: the value was text, and needed no escapes. */
  isWritten(): boolean {
    const { bytes, start, end } = this;
    if (!this.isInPlace || !text.isAll(bytes, start, end)) return false;
    bytes[end] = QUOTE;
    bytes[end + 1] = BRACE;
    this.outbox.length = end + 2;
    return true;
  }
}

/** The bytes as they are, with their ETag. */
export class FoundBytes extends Found {
  protected frameBytes(): number {
    return HEAD_BYTES_MAX;
  }

  protected writeStart(bytes: Buffer, at: number, length: number): number {
    at += RAW_HEAD.current().copy(bytes, at);
    at = writeDecimal(bytes, at, this.version);
    at += RAW_MIDDLE.copy(bytes, at);
    at = writeDecimal(bytes, at, length);
    return at + HEAD_END.copy(bytes, at);
  }

  /** Whether the answer is written: it was not too long. */
  isWritten(): boolean {
    if (!this.isInPlace) return false;
    this.outbox.length = this.end;
    return true;
  }
}
