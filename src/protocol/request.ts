/**
 * Reads the requests of one binary message, one after the other, without allocating: a cursor over the message.
 *
 * Invariant: after `next` returned Read.REQUEST, all of key and value lie within the message.
 */
import { Field, Flag, Op, OP_MAX, REQUEST_HEADER_BYTES, TWO_32, U53_HIGH_MAX } from "./wire";

export const Read = { REQUEST: 0, END: 1, MALFORMED: 2 } as const;
export type Read = (typeof Read)[keyof typeof Read];

const EMPTY = Buffer.alloc(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer, EMPTY.byteOffset, 0);

/** No condition on the version: versions are never 0. */
const NO_VERSION = 0;

/** What each op takes beside its key: fields it must have, fields it may have, flags of its own; 0 for unknown ops. */
const MUST = new Uint8Array(256);
const MAY = new Uint8Array(256);
MAY[Op.GET] = Flag.GET_META;
MUST[Op.PUT] = Field.VALUE;
MAY[Op.PUT] = Field.TTL | Field.VERSION | Flag.PUT_IF_ABSENT | Flag.PUT_IF_PRESENT | Flag.PUT_RETURN_VERSION;
MAY[Op.DELETE] = Field.VERSION;
MAY[Op.TOUCH] = Field.TTL;
MUST[Op.ADD] = Field.VALUE;
MAY[Op.ADD] = Field.TTL;
MUST[Op.APPEND] = Field.VALUE;
MUST[Op.SCAN] = Field.VALUE;
MAY[Op.PING] = Field.VALUE;

const INTAKE_BYTES = 16 * 1024;

/**
 * Where small messages are copied to be read: a view of a message's own bytes costs more than executing a request. One
 * for all connections of a thread, so who stops in the middle of a message has to keep it.
 */
export class Intake {
  readonly bytes = Buffer.allocUnsafeSlow(INTAKE_BYTES);
  readonly view = new DataView(this.bytes.buffer);
  readonly words = new Int32Array(this.bytes.buffer);
}

export class RequestCursor {
  bytes: Buffer = EMPTY;
  view: DataView = EMPTY_VIEW;
  op = 0;
  flags = 0;
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** Milliseconds; meaningful with Field.TTL. */
  ttlMs = 0;
  /** The version the entry must have, or 0. */
  version = NO_VERSION;
  /** Why the last `next` said MALFORMED. */
  problem = "";
  private at = 0;
  private end = 0;

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

  /** Others may use the intake before this message is done. */
  keep(): void {
    if (this.bytes === this.intake.bytes) this.readFrom(Buffer.from(this.bytes.subarray(0, this.end)));
  }

  /** Lets the message go. */
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

  /** Moves to the next request. */
  next(): Read {
    const { view, bytes, end } = this;
    let at = this.at;
    if (at === end) return Read.END;
    if (end - at < REQUEST_HEADER_BYTES) return this.cutShort("header");
    this.op = bytes[at]!;
    const flags = bytes[at + 1]!;
    this.flags = flags;
    const keyBytes = view.getUint16(at + 2, true);
    at += REQUEST_HEADER_BYTES;
    let valueBytes = 0;
    if (flags & Field.VALUE) {
      if (end - at < 4) return this.cutShort("valueLen");
      valueBytes = view.getUint32(at, true);
      at += 4;
    }
    if (flags & Field.TTL) {
      if (end - at < 8) return this.cutShort("ttlMs");
      const high = view.getUint32(at + 4, true);
      if (high > U53_HIGH_MAX) return this.malformed("ttlMs: above 2^53-1");
      this.ttlMs = high * TWO_32 + view.getUint32(at, true);
      at += 8;
    }
    this.version = NO_VERSION;
    if (flags & Field.VERSION) {
      if (end - at < 8) return this.cutShort("version");
      const high = view.getUint32(at + 4, true);
      if (high > U53_HIGH_MAX) return this.malformed("version: above 2^53-1");
      this.version = high * TWO_32 + view.getUint32(at, true);
      if (this.version === NO_VERSION) this.version = VERSION_OF_NOTHING;
      at += 8;
    }
    this.keyStart = at;
    this.keyEnd = at + keyBytes;
    this.valueStart = this.keyEnd;
    this.valueEnd = this.keyEnd + valueBytes;
    if (this.valueEnd > end) return this.cutShort(this.keyEnd > end ? "key" : "value");
    this.at = this.valueEnd;
    return this.flagsAreFine() ? Read.REQUEST : Read.MALFORMED;
  }

  /** Where in the message the next request begins. */
  get position(): number {
    return this.at;
  }

  /** The requests up to this place, where one ends, are answered. */
  skipTo(at: number): void {
    this.at = at;
  }

  /**
   * Where the keys of the requests to come lie, as far as they are whole, and with 1 in `plain` for a GET without flags;
   * checks nothing else, `next` does.
   * @returns how many there are, at most as many as `starts` has room for
   */
  peekKeys(starts: Int32Array, ends: Int32Array, plain: Uint8Array): number {
    const { view, bytes, end } = this;
    let count = 0;
    for (let at = this.at; count < starts.length && end - at >= REQUEST_HEADER_BYTES; count++) {
      const op = bytes[at]!;
      const flags = bytes[at + 1]!;
      const keyBytes = view.getUint16(at + 2, true);
      at += REQUEST_HEADER_BYTES;
      let valueBytes = 0;
      if (flags & Field.VALUE) {
        if (end - at < 4) break;
        valueBytes = view.getUint32(at, true);
        at += 4;
      }
      if (flags & Field.TTL) at += 8;
      if (flags & Field.VERSION) at += 8;
      if (at + keyBytes > end) break;
      starts[count] = at;
      ends[count] = at + keyBytes;
      plain[count] = +(op === Op.GET && flags === 0);
      at += keyBytes + valueBytes;
    }
    return count;
  }

  /** The flags fit the op; of an op that nobody knows only the layout is known. */
  private flagsAreFine(): boolean {
    const { op, flags } = this;
    if (op === 0 || op > OP_MAX) return true;
    const missing = MUST[op]! & ~flags;
    if (missing !== 0) return this.flagProblem("needs a value (flag 0x01)");
    const strange = flags & ~(MUST[op]! | MAY[op]!);
    if (strange !== 0) return this.flagProblem(`does not take flag 0x${strange.toString(16)}`);
    if (op === Op.PUT && flags & Flag.PUT_IF_ABSENT && flags & (Flag.PUT_IF_PRESENT | Field.VERSION))
      return this.flagProblem("IF_ABSENT contradicts IF_PRESENT and VERSION");
    const valueBytes = this.valueEnd - this.valueStart;
    if (op === Op.ADD && valueBytes !== 8)
      return this.flagProblem(`takes a value of 8 bytes, not ${valueBytes}`);
    if (op === Op.SCAN && valueBytes !== 0 && valueBytes !== 8)
      return this.flagProblem(`takes a cursor of 0 or 8 bytes, not ${valueBytes}`);
    return true;
  }

  private flagProblem(problem: string): false {
    this.problem = `op 0x${this.op.toString(16).padStart(2, "0")} ${problem}`;
    return false;
  }

  private cutShort(field: string): Read {
    return this.malformed(`request cut short in its ${field}, at byte ${this.at} of the message`);
  }

  private malformed(problem: string): Read {
    this.problem = problem;
    return Read.MALFORMED;
  }
}

/** A condition on version 0 holds for nothing, and 0 means "no condition": this version is never given out either. */
const VERSION_OF_NOTHING = Number.MAX_SAFE_INTEGER;
