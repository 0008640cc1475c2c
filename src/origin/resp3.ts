/**
 * RESP3, the protocol of Redis and Valkey, as a client speaks it: replies and pushes in, as their bytes arrive, commands out.
 *
 *   $5\r\nhello\r\n   bytes        +OK\r\n   text       :7\r\n   number      _\r\n   null       (RESP2: $-1\r\n, *-1\r\n)
 *   *2\r\n… …         array, as ~ (set)      %1\r\n… …  map     -ERR …\r\n   error, as !10\r\n…\r\n
 *   >2\r\n… …         push: no reply, it may come between any two
 *
 * Bytes stay bytes: views of what has arrived, which is never written again. The work is linear in the bytes, however they are cut.
 * What breaks the protocol or a limit throws Resp3Error, after which the parser is of no use.
 *
 * Source: https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md
 */

export type Resp3Value =
  Uint8Array | string | number | boolean | null | Resp3Failure | Resp3Value[] | Map<string, Resp3Value>;

/** An error that the server answered: a value, not a fault of the connection. */
export class Resp3Failure {
  constructor(readonly message: string) {}

  /** Its first word, such as MOVED. */
  get code(): string {
    return this.message.split(" ", 1)[0]!;
  }
}

export class Resp3Error extends Error {
  override name = "Resp3Error";
}

export interface Resp3Handlers {
  reply(value: Resp3Value): void;
  push(items: Resp3Value[]): void;
}

/** Bytes of a reply or push with all that is in it. */
export const REPLY_BYTES_MAX = 16 * 1024 * 1024;
/** Bytes of a line: a number, a text, an error. */
export const LINE_BYTES_MAX = 4096;
export const DEPTH_MAX = 16;
/** No value is shorter. */
const VALUE_BYTES_MIN = 3;

const CR = 13;
const LF = 10;
const END_BYTES = 2;
const EMPTY: Buffer = Buffer.alloc(0);
const LENGTH = /^\d{1,10}$/;
const INTEGER = /^[+-]?\d{1,19}$/;
/** Before the bytes of a verbatim string: three letters that say what it is, and a colon. */
const VERBATIM_PREFIX_BYTES = 4;

type Kind = "array" | "map" | "attribute" | "push";
const KINDS: Readonly<Record<string, Kind>> = {
  "*": "array",
  "~": "array",
  "%": "map",
  "|": "attribute",
  ">": "push",
};

/** An array, map or push whose items are not all there yet. */
interface Open {
  readonly kind: Kind;
  readonly count: number;
  readonly items: Resp3Value[];
}

export class Resp3Parser {
  /** What has arrived and is not used up: in one piece from `at` on, and pieces behind it that are joined to it when they are needed. */
  private bytes: Buffer = EMPTY;
  private at = 0;
  private pieces: Uint8Array[] = [];
  private pieceBytes = 0;
  /** So many bytes have to be there before it is worth looking again. */
  private needed = 1;
  /** Bytes of the value under way that are used up. */
  private used = 0;
  private readonly open: Open[] = [];

  constructor(
    private readonly handlers: Resp3Handlers,
    private readonly replyBytesMax = REPLY_BYTES_MAX,
  ) {}

  /** Takes in what has arrived, which nobody writes again; calls the handlers for all that is there whole, in its order. */
  take(bytes: Uint8Array): void {
    this.pieces.push(bytes);
    this.pieceBytes += bytes.length;
    if (this.held < this.needed) return;
    this.join();
    this.needed = 1;
    while (this.held >= this.needed) this.step();
  }

  /** Bytes that have arrived and are not used up, or belong to a value that is not there whole. */
  get unread(): number {
    return this.held + this.used;
  }

  /** Throws where the state contradicts itself; for tests. */
  invariants(): void {
    if (this.at > this.bytes.length) throw new Error("more was used than has come");
    if (this.held >= this.needed) throw new Error("something is there and was not looked at");
    if (this.open.some(({ items, count }) => items.length >= count)) throw new Error("a full value is open");
    if (this.open.length === 0 && this.used > 0) throw new Error("bytes of no value are counted");
    if (this.unread > this.replyBytesMax + LINE_BYTES_MAX) throw new Error(`${this.unread} bytes are held`);
  }

  private get held(): number {
    return this.bytes.length - this.at + this.pieceBytes;
  }

  private join(): void {
    const rest = this.bytes.subarray(this.at);
    this.bytes = Buffer.concat(rest.length === 0 ? this.pieces : [rest, ...this.pieces]);
    this.at = 0;
    this.pieces = [];
    this.pieceBytes = 0;
  }

  /** Uses up one line, or one line and the bytes that it announces; or finds out how much more is needed. */
  private step(): void {
    const end = this.bytes.indexOf(LF, this.at);
    const lineBytes = (end < 0 ? this.bytes.length : end + 1) - this.at;
    if (lineBytes > LINE_BYTES_MAX) throw new Resp3Error(`a line is longer than ${LINE_BYTES_MAX} bytes`);
    if (end < 0) return void (this.needed = this.held + 1);
    if (this.bytes[end - 1] !== CR || lineBytes < VALUE_BYTES_MIN)
      throw new Resp3Error("a line ends without CR LF");
    const type = String.fromCharCode(this.bytes[this.at]!);
    const line = this.bytes.toString("utf8", this.at + 1, end - 1);
    const kind = KINDS[type];
    if (kind !== undefined) this.begin(kind, line, lineBytes);
    else if (type === "$" || type === "=" || type === "!") this.readBulk(type, line, lineBytes);
    else {
      this.use(lineBytes);
      this.add(scalarOf(type, line));
    }
  }

  private begin(kind: Kind, line: string, lineBytes: number): void {
    this.use(lineBytes);
    if (kind === "array" && line === "-1") return this.add(null);
    const count = lengthOf(line) * (kind === "map" || kind === "attribute" ? 2 : 1);
    if (count * VALUE_BYTES_MIN > this.replyBytesMax) throw this.tooLong();
    if (kind === "push" && this.open.length > 0) throw new Resp3Error("a push within another value");
    if (this.open.length === DEPTH_MAX) throw new Resp3Error(`values are nested more than ${DEPTH_MAX} deep`);
    this.open.push({ kind, count, items: [] });
    this.closeFull();
  }

  private readBulk(type: string, line: string, lineBytes: number): void {
    if (type === "$" && line === "-1") {
      this.use(lineBytes);
      return this.add(null);
    }
    const length = lengthOf(line);
    const whole = lineBytes + length + END_BYTES;
    if (this.used + whole > this.replyBytesMax) throw this.tooLong();
    if (this.held < whole) return void (this.needed = whole);
    const start = this.at + lineBytes;
    const end = start + length;
    if (this.bytes[end] !== CR || this.bytes[end + 1] !== LF) throw new Resp3Error("bytes end without CR LF");
    this.use(whole);
    if (type === "!") return this.add(new Resp3Failure(this.bytes.toString("utf8", start, end)));
    const from = type === "=" ? Math.min(end, start + VERBATIM_PREFIX_BYTES) : start;
    this.add(this.bytes.subarray(from, end));
  }

  private use(bytes: number): void {
    this.at += bytes;
    this.used += bytes;
    if (this.used > this.replyBytesMax) throw this.tooLong();
  }

  /** A value is there whole: a part of what is open, or all there is. */
  private add(value: Resp3Value): void {
    const parent = this.open.at(-1);
    if (parent === undefined) {
      this.used = 0;
      return this.handlers.reply(value);
    }
    parent.items.push(value);
    this.closeFull();
  }

  /** Attributes say something about the value behind them that nobody here wants to know. */
  private closeFull(): void {
    const last = this.open.at(-1)!;
    if (last.items.length < last.count) return;
    this.open.pop();
    if (last.kind === "array") return this.add(last.items);
    if (last.kind === "map") return this.add(mapOf(last.items));
    if (this.open.length === 0) this.used = 0;
    if (last.kind === "push") this.handlers.push(last.items);
  }

  private tooLong(): Resp3Error {
    return new Resp3Error(`a reply is longer than ${this.replyBytesMax} bytes`);
  }
}

/** A command as bytes. */
export function encodeCommand(...args: readonly (string | Uint8Array)[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = typeof arg === "string" ? Buffer.from(arg) : arg;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}

/** Bytes or text, as text. */
export function textOf(value: Resp3Value | undefined): string {
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.length).toString();
  return String(value);
}

function scalarOf(type: string, line: string): Resp3Value {
  if (type === "+") return line;
  if (type === "-") return new Resp3Failure(line);
  if (type === ":" && INTEGER.test(line)) return Number(line);
  if (type === "_" && line === "") return null;
  if (type === "#" && (line === "t" || line === "f")) return line === "t";
  if (type === ",") return doubleOf(line);
  // Beyond what a number holds: its digits.
  if (type === "(" && /^[+-]?\d+$/.test(line)) return line;
  throw new Resp3Error(`a value begins with ${JSON.stringify(type + line.slice(0, 20))}`);
}

function doubleOf(line: string): number {
  const named = { inf: Infinity, "-inf": -Infinity, nan: NaN }[line];
  if (named !== undefined) return named;
  if (!/^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$/.test(line)) throw new Resp3Error("a double is no number");
  return Number(line);
}

function lengthOf(line: string): number {
  if (!LENGTH.test(line)) throw new Resp3Error(`a length is ${JSON.stringify(line.slice(0, 20))}`);
  return Number(line);
}

function mapOf(items: readonly Resp3Value[]): Map<string, Resp3Value> {
  const map = new Map<string, Resp3Value>();
  for (let i = 0; i < items.length; i += 2) map.set(textOf(items[i]), items[i + 1]!);
  return map;
}
