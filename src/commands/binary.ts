/**
 * Executes one request of the binary protocol and writes its one reply. One object for each connection: it holds what
 * the connection may do, and a clear that is not finished yet.
 */
import { ERROR_KINDS, RequestError } from "../protocol/errors";
import type { RequestCursor } from "../protocol/request";
import type { ReplyWriter } from "../protocol/reply";
import { Field, Flag, Op, OP_MAX, Status } from "../protocol/wire";
import { type Access, checkKey, forbidden, mayDo, namesKey, scanPrefix } from "./access";
import {
  ANY_VERSION,
  type Clearing,
  type Commands,
  Condition,
  NOT_READ,
  Outcome,
  ShardBusyError,
  type ValueSink,
} from "./commands";

/** Longer values take the long way, where the reply's buffer grows to their size. */
const SHORT_VALUE_MAX = 4096;

/** Sends values from the store straight into the reply. */
class ReplySink implements ValueSink {
  withMeta = false;
  constructor(
    private readonly commands: Commands,
    private readonly reply: ReplyWriter,
  ) {}

  get bytes(): Buffer {
    return this.reply.bytes;
  }

  begin(length: number, version: number, expiresAt: number): number {
    if (!this.withMeta) return this.reply.value(length);
    return this.reply.metaValue(version, this.commands.ttlOf(expiresAt), length);
  }
}

export class BinaryCommands {
  private readonly sink: ReplySink;
  private clearing: Clearing | null = null;
  private readonly readsAnyKey: boolean;

  constructor(
    private readonly commands: Commands,
    private readonly reply: ReplyWriter,
    private readonly access: Access,
    private readonly onFault: (error: unknown) => void,
  ) {
    this.sink = new ReplySink(commands, reply);
    this.readsAnyKey = mayDo(access, Op.GET) && access.prefix === null;
  }

  /** True when the request is answered; false when it needs to be called again with the same request. */
  execute(request: RequestCursor): boolean {
    const start = this.reply.length;
    try {
      return this.run(request);
    } catch (error) {
      this.clearing = null;
      this.reply.length = start;
      this.answerError(error);
      return true;
    }
  }

  /**
   * Answers the gets that come next, as long as each finds its value on the short way.
   * @param row of the next request among the keys that were looked at ahead
   * @param replyBytesMax no further once so much has gathered in the reply
   * @returns how many were answered; the next request has to be executed
   */
  readValues(request: RequestCursor, row: number, replyBytesMax: number): number {
    if (!this.readsAnyKey) return 0;
    const { commands, reply } = this;
    const { ahead } = commands;
    let next = row;
    for (; reply.length < replyBytesMax && ahead.isPlain(request.bytes, next); next++) {
      const at = reply.roomForValue(SHORT_VALUE_MAX);
      const length = commands.readAhead(next, reply.bytes, at, SHORT_VALUE_MAX);
      if (length === NOT_READ) break;
      reply.valueIsThere(length);
    }
    if (next > row) request.skipTo(ahead.ends[next - 1]!);
    return next - row;
  }

  private run(request: RequestCursor): boolean {
    const { op } = request;
    if (op === 0 || op > OP_MAX)
      throw new RequestError("UNKNOWN_OP", `op 0x${op.toString(16).padStart(2, "0")} is unknown`);
    const { access, commands, reply } = this;
    const { bytes, view, keyStart, keyEnd } = request;
    if (!mayDo(access, op)) throw forbidden(access);
    if (access.prefix !== null && namesKey(op)) checkKey(access, bytes, keyStart, keyEnd);
    switch (op) {
      case Op.GET:
        this.get(request);
        return true;
      case Op.PUT:
        this.put(request);
        return true;
      case Op.DELETE:
        this.outcome(commands.delete(bytes, view, keyStart, keyEnd, request.version));
        return true;
      case Op.TOUCH:
        this.outcome(commands.touch(bytes, view, keyStart, keyEnd, ttlOf(request)));
        return true;
      case Op.ADD:
        commands.add(
          bytes,
          view,
          keyStart,
          keyEnd,
          view.getBigInt64(request.valueStart, true),
          ttlOf(request),
        );
        reply.number(commands.lastNumber);
        return true;
      case Op.APPEND:
        this.outcome(
          commands.append(bytes, view, keyStart, keyEnd, bytes, request.valueStart, request.valueEnd),
        );
        return true;
      case Op.INFO:
        this.info(request);
        return true;
      case Op.SCAN:
        this.scan(request);
        return true;
      case Op.CLEAR:
        return this.clear(request);
      case Op.PING:
        this.ping(request);
        return true;
      default:
        this.stats();
        return true;
    }
  }

  private get(request: RequestCursor): void {
    this.sink.withMeta = (request.flags & Flag.GET_META) !== 0;
    const hit = this.commands.get(request.bytes, request.view, request.keyStart, request.keyEnd, this.sink);
    if (!hit) this.reply.status(Status.MISS);
  }

  private put(request: RequestCursor): void {
    const { bytes, flags } = request;
    const outcome = this.commands.put(
      bytes,
      request.view,
      request.keyStart,
      request.keyEnd,
      bytes,
      request.valueStart,
      request.valueEnd,
      ttlOf(request),
      conditionOf(flags),
      flags & Field.VERSION ? request.version : ANY_VERSION,
    );
    if (outcome === Outcome.DONE && flags & Flag.PUT_RETURN_VERSION)
      this.reply.number(BigInt(this.commands.lastVersion));
    else this.outcome(outcome);
  }

  private info(request: RequestCursor): void {
    const { commands, reply } = this;
    if (!commands.info(request.bytes, request.view, request.keyStart, request.keyEnd))
      return reply.status(Status.MISS);
    const { version, expiresAt, valueLength } = commands.entryInfo;
    reply.info(version, commands.ttlOf(expiresAt), valueLength);
  }

  private scan(request: RequestCursor): void {
    const { bytes, view, valueStart, valueEnd } = request;
    const cursor = valueEnd > valueStart ? view.getBigUint64(valueStart, true) : 0n;
    const prefix = scanPrefix(this.access, bytes.subarray(request.keyStart, request.keyEnd));
    const page = this.commands.scan(prefix, 0, prefix.length, cursor);
    this.reply.scanPage(page.cursor, page.keys);
  }

  private clear(request: RequestCursor): boolean {
    const { bytes, keyStart, keyEnd } = request;
    this.clearing ??= this.commands.beginClear(keyEnd - keyStart);
    if (!this.commands.clearStep(this.clearing, bytes, keyStart, keyEnd)) return false;
    this.reply.number(BigInt(this.clearing.removed));
    this.clearing = null;
    return true;
  }

  private ping(request: RequestCursor): void {
    this.commands.ping();
    const at = this.reply.value(request.valueEnd - request.valueStart);
    request.bytes.copy(this.reply.bytes, at, request.valueStart, request.valueEnd);
  }

  private stats(): void {
    const text = Buffer.from(JSON.stringify(this.commands.stats()));
    const at = this.reply.value(text.length);
    text.copy(this.reply.bytes, at);
  }

  private outcome(outcome: Outcome): void {
    if (outcome === Outcome.DONE) this.reply.status(Status.OK);
    else this.reply.status(outcome === Outcome.MISS ? Status.MISS : Status.REFUSED);
  }

  private answerError(error: unknown): void {
    if (error instanceof RequestError) {
      this.reply.error(ERROR_KINDS[error.kind].status, error.message);
    } else if (error instanceof ShardBusyError) {
      this.reply.error(Status.BUSY, "the shard of this key is busy; try again");
    } else {
      this.onFault(error);
      this.reply.error(Status.INTERNAL, "internal error; it is in the server's log");
    }
  }
}

function ttlOf(request: RequestCursor): number {
  return request.flags & Field.TTL ? request.ttlMs : Infinity;
}

function conditionOf(flags: number): Condition {
  if (flags & Flag.PUT_IF_ABSENT) return Condition.IF_ABSENT;
  return flags & Flag.PUT_IF_PRESENT ? Condition.IF_PRESENT : Condition.NONE;
}
