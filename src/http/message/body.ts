/**
 * A request's body as it comes in, of an announced length or in chunks (RFC 9112, 6 and 7.1), taken up to a limit or
 * skipped.
 *
 *   chunked:  SIZE ─▶ DATA ─▶ DATA_END ─▶ SIZE … size 0 ─▶ TRAILER ─ empty line ─▶ whole
 */
import { Growing } from "../../net/growing";
import { CR, IS_VALUE, LF, SPACE, TAB } from "./bytes";
import { Header } from "./header-names";
import type { RequestHead } from "./head";

/** Length of a body that does not say how long it is. */
export const CHUNKED = -1;
/** Length of a body whose end can't be known for sure. */
export const UNKNOWABLE = -2;

/** A chunk's size with its extensions, and all trailers together: nobody needs more. */
const SIZE_LINE_BYTES_MAX = 256;
const TRAILER_BYTES_MAX = 8 * 1024;
const SIZE_DIGITS_MAX = 13;
const EMPTY = Buffer.alloc(0);

const SEMICOLON = 0x3b;
const NO_HEX = 255;
const HEX = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = "0123456789abcdef".indexOf(String.fromCharCode(byte).toLowerCase());
  return digit < 0 ? NO_HEX : digit;
});

/** How long the body of a request is: bytes, CHUNKED, or UNKNOWABLE where it says two things or none that is valid. */
export function bodyLength(head: RequestHead): number {
  const coding = head.text(Header.TRANSFER_ENCODING);
  if (coding !== null) {
    // Whoever forwarded both may have believed the other one.
    const isClear =
      coding.toLowerCase() === "chunked" && !head.has(Header.CONTENT_LENGTH) && head.minorVersion === 1;
    return isClear ? CHUNKED : UNKNOWABLE;
  }
  const length = head.text(Header.CONTENT_LENGTH);
  if (length === null) return 0;
  return /^[0-9]{1,15}$/.test(length) ? Number(length) : UNKNOWABLE;
}

type State = "DATA" | "SIZE" | "DATA_END" | "TRAILER";

export class Body {
  isWhole = false;
  /** More came than it may have. */
  isTooLong = false;
  /** It is not what it should be; what follows can't be found. */
  isBroken = false;
  private state: State;
  /** Data that is still to come, of the body or the chunk. */
  private left: number;
  private taken = 0;
  private readonly kept: Growing | null;
  private size = 0;
  private digits = 0;
  private lineBytes = 0;
  private inExtension = false;
  private afterSize = false;
  private sawCr = false;

  /**
   * @param length bytes, or CHUNKED
   * @param bytesMax of the data
   * @param keeps whether the data is wanted
   */
  constructor(
    private readonly length: number,
    private readonly bytesMax: number,
    keeps: boolean,
  ) {
    this.state = length === CHUNKED ? "SIZE" : "DATA";
    this.left = Math.max(0, length);
    this.kept = keeps ? new Growing(length === CHUNKED ? bytesMax : length) : null;
    this.isWhole = length === 0;
  }

  /** Bytes that have come in. */
  get received(): number {
    return this.taken;
  }

  /** Bytes of it that are kept. */
  get heldBytes(): number {
    return this.kept?.length ?? 0;
  }

  /** The data, once it is whole. */
  data(): Buffer {
    return this.kept?.whole() ?? EMPTY;
  }

  /** Takes what belongs to it of bytes[at, end), and returns where that ends. */
  take(bytes: Buffer, at: number, end: number): number {
    while (at < end && !this.isWhole && !this.isTooLong && !this.isBroken)
      at = this.state === "DATA" ? this.takeData(bytes, at, end) : this.takeByte(bytes[at]!, at);
    return at;
  }

  private takeData(bytes: Buffer, at: number, end: number): number {
    const until = Math.min(end, at + this.left);
    this.taken += until - at;
    this.isTooLong = this.taken > this.bytesMax;
    if (this.isTooLong) return at;
    this.kept?.append(bytes, at, until);
    this.left -= until - at;
    if (this.left > 0) return until;
    if (this.length === CHUNKED) this.state = "DATA_END";
    else this.isWhole = true;
    return until;
  }

  private takeByte(byte: number, at: number): number {
    if (this.state === "SIZE") this.takeSize(byte);
    else if (this.state === "DATA_END") this.takeDataEnd(byte);
    else this.takeTrailer(byte);
    return at + 1;
  }

  private takeSize(byte: number): void {
    if (this.sawCr) return this.endSizeLine(byte);
    if (byte === CR) this.sawCr = true;
    else if (++this.lineBytes > SIZE_LINE_BYTES_MAX) this.isBroken = true;
    else if (this.inExtension) this.isBroken = IS_VALUE[byte] === 0;
    else if (this.afterSize && byte === SEMICOLON) this.inExtension = true;
    else if (byte === SPACE || byte === TAB) {
      this.afterSize = true;
      this.isBroken = this.digits === 0;
    } else if (this.afterSize) this.isBroken = true;
    else if (HEX[byte] !== NO_HEX && this.digits < SIZE_DIGITS_MAX) {
      this.size = this.size * 16 + HEX[byte]!;
      this.digits++;
    } else if (byte === SEMICOLON && this.digits > 0) this.inExtension = true;
    else this.isBroken = true;
  }

  private endSizeLine(byte: number): void {
    if (byte !== LF || this.digits === 0) {
      this.isBroken = true;
      return;
    }
    this.state = this.size === 0 ? "TRAILER" : "DATA";
    this.left = this.size;
    this.size = this.digits = this.lineBytes = 0;
    this.sawCr = this.inExtension = this.afterSize = false;
  }

  private takeDataEnd(byte: number): void {
    if (!this.sawCr) {
      this.sawCr = byte === CR;
      this.isBroken = !this.sawCr;
      return;
    }
    this.isBroken = byte !== LF;
    this.sawCr = false;
    this.state = "SIZE";
  }

  /** Fields after the body: skipped, up to the empty line. `digits` counts the characters of the line. */
  private takeTrailer(byte: number): void {
    if (++this.lineBytes > TRAILER_BYTES_MAX) this.isBroken = true;
    else if (this.sawCr) {
      this.isBroken = byte !== LF;
      this.isWhole = !this.isBroken && this.digits === 0;
      this.sawCr = false;
      this.digits = 0;
    } else if (byte === CR) this.sawCr = true;
    else if (IS_VALUE[byte] === 0) this.isBroken = true;
    else this.digits++;
  }
}
