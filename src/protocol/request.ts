/**
 * Reads the requests of binary messages without allocating: a Message is the bytes and how far they are answered, RequestRows
 * are its next requests, decoded together into columns.
 *
 * Invariant: all of the key and value of a row lie within the message.
 */
import { Field, Flag, Op, REQUEST_HEADER_BYTES, TWO_32, U53_HIGH_MAX } from "./wire";

const EMPTY = Buffer.alloc(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer, EMPTY.byteOffset, 0);

/** No condition on the version: versions are never 0. */
const NO_VERSION = 0;
/** Stands for a condition on version 0, which holds for no entry; 0 itself means "no condition". This version is never given out either. */
const VERSION_OF_NOTHING = Number.MAX_SAFE_INTEGER;

/** What each op takes beside its key: fields it must have, fields it may have, flags of its own; 0 for unknown ops. */
const MUST = new Uint8Array(256);
const MAY = new Uint8Array(256);
MAY[Op.GET] = Field.VERSION | Flag.GET_META | Flag.GET_WATCH;
MUST[Op.PUT] = Field.VALUE;
MAY[Op.PUT] =
  Field.TTL |
  Field.VERSION |
  Flag.PUT_IF_ABSENT |
  Flag.PUT_IF_PRESENT |
  Flag.PUT_RETURN_VERSION |
  Flag.PUT_WATCH |
  Flag.PUT_FILL;
MAY[Op.DELETE] = Field.VERSION;
MAY[Op.TOUCH] = Field.TTL;
MUST[Op.ADD] = Field.VALUE;
MAY[Op.ADD] = Field.TTL;
MUST[Op.APPEND] = Field.VALUE;
MUST[Op.SCAN] = Field.VALUE;
MAY[Op.PING] = Field.VALUE;
MAY[Op.WATCH] = Flag.WATCH_NOLOOP;
MAY[Op.UNWATCH] = Flag.UNWATCH_KEYS;
MAY[Op.LEASE] = Field.VALUE | Field.TTL | Flag.LEASE_META | Flag.LEASE_WATCH | Flag.LEASE_WAIT;
MUST[Op.RELEASE] = Field.VERSION;
MAY[Op.GETTOUCH] = Field.TTL;

/** Ops that there are. */
const IS_OP = new Uint8Array(256);
for (const op of Object.values(Op)) IS_OP[op] = 1;

export function isOp(op: number): op is Op {
  return IS_OP[op] === 1;
}

const FIELD_NAMES: ReadonlyMap<number, string> = new Map([
  [Field.VALUE, "value (flag 0x01)"],
  [Field.VERSION, "version (flag 0x04)"],
]);

const INTAKE_BYTES = 16 * 1024;

/**
 * Where small messages are copied to be read: a view of a message's own bytes costs more than executing a request. One
 * for all connections of a thread, so a message that is not answered whole has to be kept elsewhere.
 */
export class Intake {
  readonly bytes = Buffer.allocUnsafeSlow(INTAKE_BYTES);
  readonly view = new DataView(this.bytes.buffer);
  readonly words = new Int32Array(this.bytes.buffer);
}

/** One binary message, and where in it the requests begin that are not answered yet. */
export class Message {
  bytes: Buffer = EMPTY;
  view: DataView = EMPTY_VIEW;
  at = 0;
  end = 0;

  constructor(private readonly intake: Intake) {}

  /** Begins a message. */
  open(message: Buffer): void {
    const { intake } = this;
    if (message.length <= intake.bytes.length) {
      intake.bytes.set(message);
      return this.openIntake(message.length);
    }
    this.at = 0;
    this.end = message.length;
    this.readFrom(message);
  }

  /** Begins a message that lies in the intake. */
  openIntake(length: number): void {
    this.at = 0;
    this.end = length;
    this.bytes = this.intake.bytes;
    this.view = this.intake.view;
  }

  /** Others may use the intake before this message is answered. */
  keep(): void {
    if (this.bytes === this.intake.bytes) this.readFrom(Buffer.from(this.bytes.subarray(0, this.end)));
  }

  /** Drops the references to the message. */
  close(): void {
    this.at = 0;
    this.end = 0;
    this.bytes = EMPTY;
    this.view = EMPTY_VIEW;
  }

  private readFrom(bytes: Buffer): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** Enough for the waits of their look-ups to overlap, and little enough that the lines these bring in stay in the first cache. */
export const ROWS_MAX = 64;

export class RequestRows {
  /** The message's. */
  bytes: Buffer = EMPTY;
  view: DataView = EMPTY_VIEW;
  /** A request's first two bytes: its op, and its flags above that. */
  readonly heads = new Uint16Array(ROWS_MAX);
  readonly keyStarts = new Int32Array(ROWS_MAX);
  /** Where the key ends and the value begins. */
  readonly keyEnds = new Int32Array(ROWS_MAX);
  /** Where the value and with it the request ends. */
  readonly ends = new Int32Array(ROWS_MAX);
  /** Milliseconds; meaningful with Field.TTL. */
  readonly ttls = new Float64Array(ROWS_MAX);
  /** The version the entry must have, or 0. */
  readonly versions = new Float64Array(ROWS_MAX);
  count = 0;
  /** Why what follows these rows is no request, or "". */
  problem = "";

  /** Decodes the message's next requests, up to ROWS_MAX or to one that is malformed. */
  decode(message: Message): void {
    const { heads, keyStarts, keyEnds, ends } = this;
    const { view, end } = message;
    let { at } = message;
    this.bytes = message.bytes;
    this.view = view;
    this.problem = "";
    let count = 0;
    while (count < ROWS_MAX && at !== end) {
      if (end - at < REQUEST_HEADER_BYTES) {
        this.cutShort(at, "header");
        break;
      }
      const head = view.getInt32(at, true);
      const keyStart = at + REQUEST_HEADER_BYTES;
      const keyEnd = keyStart + (head >>> 16);
      // A get without flags is the key alone.
      if ((head & 0xffff) === Op.GET && keyEnd <= end) {
        heads[count] = Op.GET;
        keyStarts[count] = keyStart;
        keyEnds[count] = keyEnd;
        ends[count] = keyEnd;
      } else if (!this.decodeOne(count, view, at, end)) break;
      at = ends[count]!;
      count++;
    }
    this.count = count;
  }

  /** Drops the references to the message. */
  close(): void {
    this.bytes = EMPTY;
    this.view = EMPTY_VIEW;
    this.count = 0;
  }

  opOf(row: number): number {
    return this.heads[row]! & 0xff;
  }

  flagsOf(row: number): number {
    return this.heads[row]! >>> 8;
  }

  /** False for what is no request. */
  private decodeOne(row: number, view: DataView, start: number, end: number): boolean {
    const head = view.getInt32(start, true);
    const op = head & 0xff;
    const flags = (head >>> 8) & 0xff;
    let at = start + REQUEST_HEADER_BYTES;
    let valueBytes = 0;
    if (flags & Field.VALUE) {
      if (end - at < 4) return this.cutShort(start, "valueLen");
      valueBytes = view.getUint32(at, true);
      at += 4;
    }
    if (flags & Field.TTL) {
      if (end - at < 8) return this.cutShort(start, "ttlMs");
      const high = view.getUint32(at + 4, true);
      if (high > U53_HIGH_MAX) return this.malformed("ttlMs: above 2^53-1");
      this.ttls[row] = high * TWO_32 + view.getUint32(at, true);
      at += 8;
    }
    let version = NO_VERSION;
    if (flags & Field.VERSION) {
      if (end - at < 8) return this.cutShort(start, "version");
      const high = view.getUint32(at + 4, true);
      if (high > U53_HIGH_MAX) return this.malformed("version: above 2^53-1");
      version = high * TWO_32 + view.getUint32(at, true) || VERSION_OF_NOTHING;
      at += 8;
    }
    const keyEnd = at + (head >>> 16);
    const valueEnd = keyEnd + valueBytes;
    if (valueEnd > end) return this.cutShort(start, keyEnd > end ? "key" : "value");
    this.heads[row] = head;
    this.versions[row] = version;
    this.keyStarts[row] = at;
    this.keyEnds[row] = keyEnd;
    this.ends[row] = valueEnd;
    return this.flagsAreFine(op, flags, valueBytes);
  }

  /** The flags fit the op; of an op that nobody knows only the layout is known. */
  private flagsAreFine(op: number, flags: number, valueBytes: number): boolean {
    if (!isOp(op)) return true;
    const missing = MUST[op]! & ~flags;
    if (missing !== 0) return this.flagProblem(op, `needs a ${FIELD_NAMES.get(missing)}`);
    const strange = flags & ~(MUST[op]! | MAY[op]!);
    if (strange !== 0) return this.flagProblem(op, `does not take flag 0x${strange.toString(16)}`);
    if (op === Op.PUT && flags & Flag.PUT_IF_ABSENT && flags & (Flag.PUT_IF_PRESENT | Field.VERSION))
      return this.flagProblem(op, "IF_ABSENT contradicts IF_PRESENT and VERSION");
    if (op === Op.PUT && flags & Flag.PUT_FILL && !(flags & Field.VERSION))
      return this.flagProblem(op, "with FILL needs a version (flag 0x04): the lease's token");
    if (op === Op.LEASE && flags & Field.VALUE && valueBytes !== 8)
      return this.flagProblem(op, `takes a value of 8 bytes, not ${valueBytes}`);
    if (op === Op.ADD && valueBytes !== 8)
      return this.flagProblem(op, `takes a value of 8 bytes, not ${valueBytes}`);
    if (op === Op.SCAN && valueBytes !== 0 && valueBytes !== 8)
      return this.flagProblem(op, `takes a cursor of 0 or 8 bytes, not ${valueBytes}`);
    return true;
  }

  private flagProblem(op: number, problem: string): false {
    return this.malformed(`op 0x${op.toString(16).padStart(2, "0")} ${problem}`);
  }

  private cutShort(start: number, field: string): false {
    return this.malformed(`request cut short in its ${field}, at byte ${start} of the message`);
  }

  private malformed(problem: string): false {
    this.problem = problem;
    return false;
  }
}
