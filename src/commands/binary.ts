/**
 * Executes the requests of binary messages and writes one reply for each. One object for each connection: it holds what
 * the connection may do, and a clear that is not finished yet.
 */
import { ERROR_KINDS, type ErrorKind, RequestError } from "../protocol/errors";
import { isOp, type Message } from "../protocol/request";
import type { ReplyWriter } from "../protocol/reply";
import { Field, Flag, Op, Status, TWO_32 } from "../protocol/wire";
import type { Ticket } from "../streaming/feed";
import type { Access } from "./access";
import {
  type Clearing,
  type Commands,
  Condition,
  Outcome,
  ShardBusyError,
  type ValueSink,
  type Write,
} from "./commands";
import { type Calls, CONFLICT, SUSPENDED } from "./calls";
import { workOfBytes } from "./work";

/** Why a run ended. */
export const Run = {
  /** The message is answered. */
  DONE: 0,
  /** So is what came before a request that is malformed, and that request. */
  MALFORMED: 1,
  /** The replies have to be sent before there are more. */
  REPLIES_FULL: 2,
  /** The turn is over: the message continues after other connections have had theirs. */
  TURN_OVER: 3,
  /** The next request waits for the store of record: the message continues after `answered`. */
  SUSPENDED: 4,
} as const;
export type Run = (typeof Run)[keyof typeof Run];

/** Only the window ended, not the run. */
const NEXT_WINDOW = -1;

/** Requests that look through pages of the store, or at every shard. */
const EXTRA_WORK = new Uint16Array(256);
EXTRA_WORK[Op.SCAN] = 2048;
EXTRA_WORK[Op.STATS] = 512;

/** Requests for one key each: they may be begun while one before them waits. */
const MAY_BEGIN_AHEAD = new Uint8Array(256);
for (const op of [Op.GET, Op.PUT, Op.DELETE, Op.TOUCH, Op.ADD, Op.APPEND, Op.INFO]) MAY_BEGIN_AHEAD[op] = 1;

/** Sends values from the store straight into the reply. */
class ReplySink implements ValueSink {
  withMeta = false;
  private isStale = false;
  constructor(
    private readonly commands: Commands,
    private readonly reply: ReplyWriter,
  ) {}

  get bytes(): Buffer {
    return this.reply.bytes;
  }

  begin(length: number, version: number, expiresAt: number): number {
    if (!this.withMeta) return this.reply.value(length);
    const start = this.reply.length;
    const at = this.reply.metaValue(version, this.commands.ttlOf(expiresAt), length);
    if (this.isStale) this.reply.markStale(start);
    this.isStale = false;
    return at;
  }

  markStale(): void {
    this.isStale = this.withMeta;
  }
}

export class BinaryCommands {
  private readonly sink: ReplySink;
  /** What the last run did, as commands/work.ts counts it. */
  work = 0;
  private clearing: Clearing | null = null;
  private readonly calls: Calls | null;
  /** Requests of this connection that are answered. */
  private answeredCount = 0;

  constructor(
    private readonly commands: Commands,
    private readonly reply: ReplyWriter,
    private readonly access: Access,
    private readonly onFault: (error: unknown) => void,
  ) {
    this.sink = new ReplySink(commands, reply);
    this.calls = commands.newCalls();
  }

  /** See Calls. */
  get heldBytes(): number {
    return this.calls?.heldBytes ?? 0;
  }

  /** When the request can be executed again that a run was suspended at. */
  get answered(): Promise<void> {
    return this.calls!.answered;
  }

  /**
   * Answers the message's next requests: one at least, and no further once it has done so much work or the replies have to be
   * sent. `message.at` says how far it came; the next call continues there.
   */
  run(message: Message, workMax: number): Run {
    const { window } = this.commands;
    this.commands.calls = this.calls;
    this.work = 0;
    try {
      while (message.at < message.end) {
        window.open(message, this.commands.now);
        const end = this.runWindow(message, workMax);
        if (end !== NEXT_WINDOW) return end;
      }
      return Run.DONE;
    } finally {
      window.close();
    }
  }

  private runWindow(message: Message, workMax: number): Run | typeof NEXT_WINDOW {
    const { commands, reply } = this;
    const { rows } = commands.window;
    for (let row = 0; row < rows.count;) {
      // What was begun ahead has its answer already, older than a copy may be; it comes before what is read now.
      const next = this.calls?.wasBegunAhead(this.answeredCount) ? row : this.readValues(row);
      if (next > row) {
        const end = rows.ends[next - 1]!;
        this.work += next - row + workOfBytes(end - message.at);
        message.at = end;
        this.answeredCount += next - row;
        row = next;
      } else {
        const outcome = this.execute(row);
        const end = rows.ends[row]!;
        const bytes = end - message.at + commands.copiedBytes;
        this.work += 1 + EXTRA_WORK[rows.opOf(row)]! + workOfBytes(bytes);
        if (outcome !== Run.DONE) return outcome;
        message.at = end;
        this.answeredCount++;
        row++;
      }
      if (reply.isFull) return Run.REPLIES_FULL;
      if (this.work >= workMax) return Run.TURN_OVER;
    }
    if (rows.problem === "") return NEXT_WINDOW;
    this.replyError("MALFORMED", rows.problem);
    return Run.MALFORMED;
  }

  /** DONE when the request of a row is answered, else why it has to be executed again. */
  private execute(row: number): Run {
    const { calls, reply } = this;
    const start = reply.length;
    this.commands.copiedBytes = 0;
    try {
      calls?.begin(this.answeredCount);
      if (!this.answer(row)) return Run.TURN_OVER;
    } catch (error) {
      reply.length = start;
      if (error === SUSPENDED) {
        this.beginAhead(row);
        return Run.SUSPENDED;
      }
      this.clearing = null;
      this.answerError(error);
    }
    calls?.end();
    return Run.DONE;
  }

  /** Begins the requests behind one that waits, as far as the window goes or to one that has to wait for its turn. */
  private beginAhead(row: number): void {
    const { reply } = this;
    const { rows } = this.commands.window;
    const calls = this.calls!;
    if (!calls.mayBeginAhead) return;
    const start = reply.length;
    for (let ahead = row + 1; ahead < rows.count && MAY_BEGIN_AHEAD[rows.opOf(ahead)] === 1; ahead++) {
      calls.beginAhead(this.answeredCount + ahead - row);
      try {
        this.answer(ahead);
      } catch (error) {
        if (error === CONFLICT) return;
        // What is wrong with it is answered in its turn.
      }
      reply.length = start;
    }
  }

  /**
   * Answers the gets from `row` on, as long as each finds its value on the short way.
   * @returns the row of the first request that was not answered
   */
  private readValues(row: number): number {
    const { access, commands, reply } = this;
    const { heads, count } = commands.window.rows;
    while (row < count && heads[row] === Op.GET && !reply.isFull && commands.getAhead(access, row, reply))
      row++;
    return row;
  }

  private answer(row: number): boolean {
    const { access, commands, reply } = this;
    const { rows } = commands.window;
    const op = rows.opOf(row);
    if (!isOp(op))
      throw new RequestError("UNKNOWN_OP", `op 0x${op.toString(16).padStart(2, "0")} is unknown`);
    switch (op) {
      case Op.GET:
        this.get(row);
        return true;
      case Op.PUT:
        this.put(row);
        return true;
      case Op.DELETE:
        this.outcome(commands.delete(access, commands.keyAhead(row), rows.versions[row]!));
        return true;
      case Op.TOUCH:
        this.outcome(commands.touch(access, commands.keyAhead(row), this.ttlOf(row)));
        return true;
      case Op.ADD: {
        const delta = rows.view.getBigInt64(rows.keyEnds[row]!, true);
        commands.add(access, commands.keyAhead(row), delta, this.ttlOf(row));
        reply.number(commands.lastNumber);
        return true;
      }
      case Op.APPEND:
        this.outcome(commands.append(access, commands.keyAhead(row), this.writeOf(row)));
        return true;
      case Op.INFO:
        this.info(row);
        return true;
      case Op.SCAN:
        this.scan(row);
        return true;
      case Op.CLEAR:
        return this.clear(row);
      case Op.PING:
        this.ping(row);
        return true;
      case Op.STATS:
        this.stats();
        return true;
      case Op.WATCH:
        commands.watchPrefix(access, this.keyBytes(row), (rows.flagsOf(row) & Flag.WATCH_NOLOOP) !== 0);
        reply.status(Status.OK);
        return true;
      case Op.UNWATCH:
        if (rows.flagsOf(row) & Flag.UNWATCH_KEYS) commands.unwatchKeys(access);
        else commands.unwatchPrefix(access, this.keyBytes(row));
        reply.status(Status.OK);
        return true;
      case Op.LEASE:
        this.lease(row);
        return true;
      case Op.RELEASE:
        this.outcome(commands.release(access, commands.keyAhead(row), rows.versions[row]!));
        return true;
      case Op.GETDELETE:
        this.sink.withMeta = false;
        if (!commands.getAndDelete(access, commands.keyAhead(row), this.sink)) reply.status(Status.MISS);
        return true;
      case Op.GETTOUCH:
        this.sink.withMeta = false;
        if (!commands.getAndTouch(access, commands.keyAhead(row), this.sink, this.ttlOf(row)))
          reply.status(Status.MISS);
        return true;
      default:
        return op satisfies never;
    }
  }

  /** Writes a FILLED into `reply`, if there is an answer to the ticket now. */
  fill(ticket: Ticket): void {
    const { reply } = this;
    const start = reply.length;
    reply.filled(ticket.number);
    this.sink.withMeta = ticket.wish.withMeta;
    const { outcome, ask } = this.commands.settle(ticket, this.sink);
    if (outcome === Outcome.PENDING) reply.length = start;
    else if (outcome === Outcome.LEASED) reply.leased(ask.token, ask.leftMs);
    else if (outcome === Outcome.MISS) reply.status(Status.MISS);
  }

  private get(row: number): void {
    const { access, commands } = this;
    const flags = commands.window.rows.flagsOf(row);
    this.sink.withMeta = (flags & Flag.GET_META) !== 0;
    if (flags & (Field.VERSION | Flag.GET_WATCH)) return this.read(row);
    const hit = commands.get(access, commands.keyAhead(row), this.sink);
    if (!hit) this.reply.status(Status.MISS);
  }

  /** A get that watches, or whose client holds a version. */
  private read(row: number): void {
    const { access, commands, reply } = this;
    const { rows } = commands.window;
    const wish = commands.wishOf(rows.versions[row]!, (rows.flagsOf(row) & Flag.GET_WATCH) !== 0);
    const outcome = commands.read(access, commands.keyAhead(row), wish, this.sink);
    if (outcome === Outcome.CURRENT) reply.current(commands.ttlOf(commands.entryInfo.expiresAt));
    else if (outcome === Outcome.MISS) reply.status(Status.MISS);
  }

  private lease(row: number): void {
    const { access, commands, reply } = this;
    const { rows } = commands.window;
    const flags = rows.flagsOf(row);
    const start = reply.length;
    const ask = commands.leaseAsk(flags & Field.TTL ? rows.ttls[row]! : undefined, this.earlyOf(row));
    ask.watches = (flags & Flag.LEASE_WATCH) !== 0;
    const withMeta = (flags & Flag.LEASE_META) !== 0;
    // HIT_LEASED has the meta in any case, and whether it is one shows after the value was read.
    this.sink.withMeta = withMeta || ask.earlyMs > 0;
    const wish = { access, withMeta, waits: (flags & Flag.LEASE_WAIT) !== 0 };
    const outcome = commands.lease(wish, commands.keyAhead(row), ask, this.sink);
    switch (outcome) {
      case Outcome.HIT_LEASED:
        return reply.hitLeased(start, ask.token);
      case Outcome.LEASED:
        return reply.leased(ask.token, ask.leftMs);
      case Outcome.PENDING:
        return reply.pending(commands.lastTicket, ask.leftMs);
      case Outcome.MISS:
        return reply.status(Status.MISS);
      default:
        if (!withMeta && this.sink.withMeta) reply.withoutMeta(start);
    }
  }

  /** Of a lease: the time to live below which a value may be computed anew. */
  private earlyOf(row: number): number {
    const { view, keyEnds, ends } = this.commands.window.rows;
    const at = keyEnds[row]!;
    return ends[row]! > at ? view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32 : 0;
  }

  private put(row: number): void {
    const { access, commands } = this;
    const { rows } = commands.window;
    const flags = rows.flagsOf(row);
    const write = this.writeOf(row);
    write.condition = conditionOf(flags);
    write.watches = (flags & Flag.PUT_WATCH) !== 0;
    if (flags & Flag.PUT_FILL) write.lease = rows.versions[row]!;
    else if (flags & Field.VERSION) write.ifVersion = rows.versions[row]!;
    const outcome = commands.put(access, commands.keyAhead(row), write, this.ttlOf(row));
    if (outcome === Outcome.DONE && flags & Flag.PUT_RETURN_VERSION)
      this.reply.number(BigInt(commands.lastVersion));
    else this.outcome(outcome);
  }

  private info(row: number): void {
    const { access, commands, reply } = this;
    if (!commands.info(access, commands.keyAhead(row))) return reply.status(Status.MISS);
    const { version, expiresAt, valueLength } = commands.entryInfo;
    reply.info(version, commands.ttlOf(expiresAt), valueLength);
  }

  private scan(row: number): void {
    const { rows } = this.commands.window;
    const valueStart = rows.keyEnds[row]!;
    const cursor = rows.ends[row]! > valueStart ? rows.view.getBigUint64(valueStart, true) : 0n;
    const page = this.commands.scan(this.access, this.keyBytes(row), cursor);
    this.reply.scanPage(page.cursor, page.keys);
  }

  private clear(row: number): boolean {
    const { commands } = this;
    this.clearing ??= commands.clear(this.access, this.keyBytes(row));
    if (!this.clearing.step(commands.now)) return false;
    this.reply.number(BigInt(this.clearing.removed));
    this.clearing = null;
    return true;
  }

  private ping(row: number): void {
    const { bytes, keyEnds, ends } = this.commands.window.rows;
    this.commands.ping(this.access);
    const at = this.reply.value(ends[row]! - keyEnds[row]!);
    bytes.copy(this.reply.bytes, at, keyEnds[row], ends[row]);
  }

  private stats(): void {
    const text = Buffer.from(JSON.stringify(this.commands.stats(this.access)));
    const at = this.reply.value(text.length);
    text.copy(this.reply.bytes, at);
  }

  /** The key of a row as a view of the message. */
  private keyBytes(row: number): Buffer {
    const { bytes, keyStarts, keyEnds } = this.commands.window.rows;
    return bytes.subarray(keyStarts[row], keyEnds[row]);
  }

  private writeOf(row: number): Write {
    const { bytes, keyEnds, ends } = this.commands.window.rows;
    return this.commands.writeOf(bytes, keyEnds[row]!, ends[row]!);
  }

  private ttlOf(row: number): number {
    const { rows } = this.commands.window;
    return rows.flagsOf(row) & Field.TTL ? rows.ttls[row]! : Infinity;
  }

  private outcome(outcome: Outcome): void {
    if (outcome === Outcome.DONE) this.reply.status(Status.OK);
    else this.reply.status(outcome === Outcome.MISS ? Status.MISS : Status.REFUSED);
  }

  private answerError(error: unknown): void {
    if (error instanceof RequestError) {
      this.replyError(error.kind, error.message);
    } else if (error instanceof ShardBusyError) {
      this.replyError("BUSY", "the shard of this key is busy; try again");
    } else {
      this.onFault(error);
      this.replyError("INTERNAL", "internal error; it is in the server's log");
    }
  }

  private replyError(kind: ErrorKind, message: string): void {
    this.commands.noteError(kind);
    this.reply.error(ERROR_KINDS[kind].status, message);
  }
}

function conditionOf(flags: number): Condition {
  if (flags & Flag.PUT_IF_ABSENT) return Condition.IF_ABSENT;
  return flags & Flag.PUT_IF_PRESENT ? Condition.IF_PRESENT : Condition.NONE;
}
