/**
 * The head of one HTTP/1.1 request (RFC 9112), read in one pass over its bytes, without an object for any of its parts:
 * what is asked for is made a text when it is asked for.
 *
 * Strict where two readers of the same bytes could find different requests in them: line ends are CR LF, fields that
 * decide about the body stand once, names end at their colon. One object for each thread; a request that has to wait is
 * given bytes of its own (`keep`).
 */
import { CR, DELETE, flagsOf, IS_VALUE, LF, SPACE, TAB } from "./bytes";
import { hashOn, Header, HEADER_COUNT, headerNamed, STANDS_ONCE } from "./header-names";

/** A longer head is refused. */
export const HEAD_BYTES_MAX = 16 * 1024;

export const Parsed = { WHOLE: 0, MORE: 1, BAD: 2 } as const;
export type Parsed = (typeof Parsed)[keyof typeof Parsed];

export const Method = { GET: 0, HEAD: 1, POST: 2, PUT: 3, DELETE: 4, OPTIONS: 5, OTHER: 6 } as const;
export type Method = (typeof Method)[keyof typeof Method];
export const METHOD_NAMES = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] as const;

const METHOD_BYTES = METHOD_NAMES.map((name) => Buffer.from(name));
const COLON = 0x3a;
const QUESTION = 0x3f;
const SLASH = 0x2f;
const ZERO = 0x30;
const VERSION = Buffer.from("HTTP/1.");
/** Version, and the line's end. */
const VERSION_BYTES = VERSION.length + 1;
const ABSOLUTE = /^https?:\/\/([^/?]+)/i;

/** What names consist of (RFC 9110, 5.6.2). */
const IS_TOKEN = flagsOf(
  (byte) => /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(byte)) && byte < 128,
);
/** Bytes of other characters are no part of a URL, but people type them, and what they mean is clear. */
const IS_TARGET = flagsOf((byte) => byte > SPACE && byte !== DELETE);

export class RequestHead {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  method: Method = Method.OTHER;
  /** Path and query. */
  targetStart = 0;
  targetEnd = 0;
  /** Of the path: where the query's ? stands, or the target ends. */
  pathEnd = 0;
  /** Where the body begins. */
  end = 0;
  /** 0 or 1, of HTTP/1.x. */
  minorVersion = 1;
  /** Of a target as sent to a proxy: the host that it names. */
  authority: string | null = null;
  /** Why it is BAD, and the code that says so. */
  problem = "";
  status = 400;
  private methodStart = 0;
  private methodEnd = 0;
  private readonly starts = new Int32Array(HEADER_COUNT);
  private readonly ends = new Int32Array(HEADER_COUNT);
  /** Bit n is set where header n is there. */
  private there = 0;
  /** Of lists that stand in several fields, all of them; null where none do. */
  private joined: (string | undefined)[] | null = null;

  /** Reads the head that begins at bytes[at]. After MORE it has to be read again, with what has come in since. */
  read(bytes: Buffer, view: DataView, at: number, end: number): Parsed {
    this.bytes = bytes;
    this.view = view;
    this.there = 0;
    this.joined = null;
    this.authority = null;
    this.problem = "";
    // It may be the first half of an empty line, which whoever reads requests leaves out.
    if (end - at === 1 && bytes[at] === CR) return Parsed.MORE;
    const line = this.readRequestLine(at, end);
    if (line < 0) return this.unfinished(at, end);
    const after = this.readFields(line, end);
    if (after < 0) return this.unfinished(at, end);
    this.end = after;
    return this.problem === "" ? Parsed.WHOLE : Parsed.BAD;
  }

  has(header: Header): boolean {
    return ((this.there >>> header) & 1) === 1;
  }

  /** A field's value; null where it does not stand. */
  text(header: Header): string | null {
    if (!this.has(header)) return null;
    return this.joined?.[header] ?? this.bytes.toString("latin1", this.starts[header]!, this.ends[header]!);
  }

  /** The host that is asked; null where none is named. What the target says counts before the field (RFC 9112, 3.2.2). */
  host(): string | null {
    return this.authority ?? this.text(Header.HOST);
  }

  /** Whether the field's value is these bytes. */
  is(header: Header, value: Buffer): boolean {
    const start = this.starts[header]!;
    if (!this.has(header) || this.ends[header]! - start !== value.length) return false;
    for (let i = 0; i < value.length; i++) if (this.bytes[start + i] !== value[i]) return false;
    return true;
  }

  /** The field's value as a list of words, in lower case. */
  words(header: Header): string[] {
    const text = this.text(header);
    return text === null
      ? []
      : text
          .toLowerCase()
          .split(",")
          .map((word) => word.trim());
  }

  /** Path and query as text; bytes beyond ASCII are UTF-8. */
  get target(): string {
    return this.bytes.toString("utf8", this.targetStart, this.targetEnd);
  }

  get path(): string {
    return this.bytes.toString("utf8", this.targetStart, this.pathEnd);
  }

  get methodName(): string {
    return this.bytes.toString("latin1", this.methodStart, this.methodEnd);
  }

  /** Goes on in bytes of its own: those it was read from will be used for others. */
  keep(): void {
    this.bytes = Buffer.from(this.bytes.subarray(0, this.end));
    this.view = viewOf(this.bytes);
  }

  /** After a part that is no whole line: more may come, unless it is wrong or too long already. */
  private unfinished(at: number, end: number): Parsed {
    if (this.problem === "" && end - at <= HEAD_BYTES_MAX) return Parsed.MORE;
    if (this.problem === "") this.bad(431, `the request's head is longer than ${HEAD_BYTES_MAX} bytes`);
    return Parsed.BAD;
  }

  /** Returns where the fields begin, or -1. */
  private readRequestLine(start: number, end: number): number {
    const { bytes } = this;
    let at = start;
    while (at < end && IS_TOKEN[bytes[at]!] === 1) at++;
    if (at === end) return -1;
    if (at === start || bytes[at] !== SPACE) return this.bad(400, "this is no HTTP request");
    this.methodStart = start;
    this.methodEnd = at;
    this.method = methodOf(bytes, start, at);
    this.targetStart = ++at;
    let query = -1;
    for (; at < end && IS_TARGET[bytes[at]!] === 1; at++) if (query < 0 && bytes[at] === QUESTION) query = at;
    if (at === end) return -1;
    if (at === this.targetStart || bytes[at] !== SPACE)
      return this.bad(400, "the request's target is not valid");
    this.targetEnd = at++;
    this.pathEnd = query < 0 ? this.targetEnd : query;
    return this.readVersion(at, end);
  }

  private readVersion(start: number, end: number): number {
    const { bytes } = this;
    const seen = Math.min(VERSION.length, end - start);
    for (let i = 0; i < seen; i++)
      if (bytes[start + i] !== VERSION[i]) return this.bad(505, "only HTTP/1.1 and 1.0 are spoken here");
    const after = start + VERSION_BYTES;
    if (after + 2 > end) return -1;
    const minor = bytes[after - 1]! - ZERO;
    if (minor < 0 || minor > 9) return this.bad(400, "the request's version is not valid");
    // A later 1.x has to be understood as the latest that is known.
    this.minorVersion = Math.min(minor, 1);
    if (bytes[after] !== CR || bytes[after + 1] !== LF)
      return this.bad(400, "the request line does not end in CR LF");
    if (bytes[this.targetStart] !== SLASH) this.readAbsoluteTarget();
    return after + 2;
  }

  /** A target as sent to a proxy, which a server has to understand too (RFC 9112, 3.2.2). */
  private readAbsoluteTarget(): void {
    const match = ABSOLUTE.exec(this.bytes.toString("latin1", this.targetStart, this.targetEnd));
    if (match === null) return;
    this.authority = match[1]!;
    this.targetStart += match[0].length;
    if (this.bytes[this.targetStart] !== SLASH) this.pathEnd = this.targetStart;
  }

  /** Returns where the head ends, or -1. */
  private readFields(start: number, end: number): number {
    const { bytes } = this;
    let at = start;
    for (;;) {
      if (end - at < 2) return -1;
      if (bytes[at] === CR)
        return bytes[at + 1] === LF ? this.checked(at + 2) : this.bad(400, "a stray CR in the head");
      const nameStart = at;
      let hash = 0;
      for (; at < end && IS_TOKEN[bytes[at]!] === 1; at++) hash = hashOn(hash, bytes[at]!);
      if (at === end) return -1;
      if (at === nameStart || bytes[at] !== COLON) return this.bad(400, "a header's name is not valid");
      const nameEnd = at++;
      while (at < end && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
      const valueStart = at;
      while (at < end && IS_VALUE[bytes[at]!] === 1) at++;
      if (end - at < 2) return -1;
      if (bytes[at] !== CR || bytes[at + 1] !== LF) return this.bad(400, "a header's value is not valid");
      const header = headerNamed(bytes, nameStart, nameEnd, hash);
      if (header >= 0) this.note(header as Header, valueStart, this.trimmed(valueStart, at));
      at += 2;
    }
  }

  private trimmed(start: number, end: number): number {
    const { bytes } = this;
    while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB)) end--;
    return end;
  }

  private note(header: Header, start: number, end: number): void {
    if (this.has(header)) return this.noteAgain(header, start, end);
    this.there |= 1 << header;
    this.starts[header] = start;
    this.ends[header] = end;
  }

  private noteAgain(header: Header, start: number, end: number): void {
    if (STANDS_ONCE[header]) this.bad(400, "a header that may stand only once stands twice");
    this.joined ??= new Array(HEADER_COUNT).fill(undefined);
    this.joined[header] = `${this.text(header)}, ${this.bytes.toString("latin1", start, end)}`;
  }

  /** What has to hold of the fields together. */
  private checked(after: number): number {
    if (after > HEAD_BYTES_MAX && after - this.methodStart > HEAD_BYTES_MAX)
      this.bad(431, `the request's head is longer than ${HEAD_BYTES_MAX} bytes`);
    if (this.minorVersion === 1 && !this.has(Header.HOST)) this.bad(400, "Host: is missing");
    return after;
  }

  private bad(status: number, problem: string): -1 {
    this.status = status;
    this.problem = problem;
    return -1;
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function methodOf(bytes: Uint8Array, start: number, end: number): Method {
  for (let method = 0; method < METHOD_BYTES.length; method++) {
    const name = METHOD_BYTES[method]!;
    if (name.length !== end - start) continue;
    let at = 0;
    while (at < name.length && bytes[start + at] === name[at]) at++;
    if (at === name.length) return method as Method;
  }
  return Method.OTHER;
}
