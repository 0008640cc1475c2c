/**
 * A connection as a WebSocket (RFC 6455): frames in, messages to the session; the session's messages out as frames. Pings,
 * closing and whatever is against the protocol are dealt with here.
 *
 * Small messages are unmasked where they will be read, in the thread's intake; larger ones, and those that come in
 * pieces, get a buffer of their own.
 */
import { isUtf8 } from "node:buffer";
import type { Connection, Stream } from "../net/connection";
import { Growing } from "../net/growing";
import { restOf } from "../net/rest";
import type { Intake } from "../protocol/request";
import { Close } from "../protocol/wire";
import { FrameHeader, HEADER_BYTES_MAX, Opcode, Seen, unmask, unmaskPart, writeHeader } from "./frames";
import type { Session, Socket } from "./session";

/** A close frame's reason, beside its code. */
const REASON_BYTES_MAX = 123;
const NOTHING = Buffer.alloc(0);

/** What all WebSockets of a worker share. */
export interface WebSocketService {
  readonly intake: Intake;
  /** Of the frame that comes in in this event. */
  readonly header: FrameHeader;
  readonly messageBytesMax: number;
}

/** Whose connections these are. */
export interface WebSocketOwner {
  webSocketEnded(session: Session): void;
}

/** A frame whose payload has not come in whole. */
interface OpenFrame {
  readonly opcode: number;
  readonly isLast: boolean;
  readonly mask: number;
  /** Bytes of the payload that are still to come. */
  left: number;
  /** Null where it is not wanted any more. */
  readonly payload: Growing | null;
}

export class WebSocketStream implements Stream, Socket {
  /** The beginning of a header. */
  private unread: Buffer | null = null;
  private frame: OpenFrame | null = null;
  /** The fragments of a message so far. */
  private message: { readonly opcode: number; readonly bytes: Growing } | null = null;
  /** The last ping that could not be answered at once; earlier ones need no answer (RFC 6455, 5.5.3). */
  private owedPong: Buffer | null = null;
  /** Our close frame is on its way. */
  private isClosing = false;
  /** Nothing that comes in counts any more: the peer said goodbye, or broke the protocol. */
  private isLast = false;
  private isPaused = false;
  /** Something that came in has not been looked at. */
  isReading = false;
  /** The peer sends no more. */
  private peerIsDone = false;

  constructor(
    private readonly connection: Connection,
    private readonly session: Session,
    private readonly service: WebSocketService,
    private readonly owner: WebSocketOwner,
  ) {}

  receive(bytes: Buffer): void {
    if (this.isLast) return;
    const all = this.unread === null ? bytes : Buffer.concat([this.unread, bytes]);
    this.unread = null;
    this.isReading = true;
    let at = 0;
    while (at < all.length && !this.isLast && !this.isPaused) {
      const next = this.frame === null ? this.readFrame(all, at) : this.readOpenFrame(this.frame, all, at);
      if (next === at) break;
      at = next;
    }
    if (at < all.length && !this.isLast) this.unread = restOf(all, at, all.length);
    this.isReading = this.isPaused && this.unread !== null;
    if (this.session.isLeaving) this.session.goOn();
    if (this.peerIsDone) this.endWhenRead();
  }

  blocked(): void {
    this.session.blocked();
  }

  drained(): void {
    const { owedPong } = this;
    this.owedPong = null;
    if (owedPong !== null && !this.isClosing) this.writeFrame(Opcode.PONG, owedPong, owedPong.length);
    this.session.drained();
  }

  peerEnded(): void {
    this.peerIsDone = true;
    this.endWhenRead();
  }

  private endWhenRead(): void {
    if (!this.isLast && !this.isReading) this.goOut(Close.NO_CODE, "");
  }

  gone(): void {
    this.session.ended();
    this.owner.webSocketEnded(this.session);
  }

  sendBinary(bytes: Buffer, length: number): number {
    return this.send(Opcode.BINARY, bytes, length);
  }

  sendText(text: string): number {
    const bytes = Buffer.from(text);
    return this.send(Opcode.TEXT, bytes, bytes.length);
  }

  getBufferedAmount(): number {
    return this.connection.unsentBytes;
  }

  heldBytes(): number {
    const incoming = (this.frame?.payload?.length ?? 0) + (this.message?.bytes.length ?? 0);
    return incoming + (this.unread?.length ?? 0) + this.connection.unsentBytes;
  }

  ping(): void {
    this.connection.during(() => this.writeFrame(Opcode.PING, NOTHING, 0));
  }

  pause(): void {
    this.isPaused = true;
    this.connection.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (this.connection.isGone) return;
    this.connection.resume();
    if (this.unread === null) return;
    this.isReading = true;
    setImmediate(() => this.readOn());
  }

  /** Reads what had come in before the pause. */
  private readOn(): void {
    if (!this.isPaused && !this.connection.isGone) this.connection.during(() => this.receive(NOTHING));
  }

  close(code: number, reason: string): void {
    this.connection.during(() => this.sayClose(code, reason));
  }

  /** What the kernel has taken still reaches a client that reads. */
  terminate(): void {
    this.connection.endNow();
  }

  /** Above 0 sent, -1 buffered, 0 dropped because the connection is gone. */
  private send(opcode: number, bytes: Buffer, length: number): number {
    const { connection } = this;
    if (this.isClosing || connection.isGone) return 0;
    const began = connection.begin();
    this.writeFrame(opcode, bytes, length);
    if (began) connection.finish();
    if (connection.isGone) return 0;
    // Of a message without bytes something was sent too.
    return connection.isBlocked ? -1 : Math.max(1, length);
  }

  private writeFrame(opcode: number, bytes: Buffer, length: number): void {
    const outbox = this.connection.room(HEADER_BYTES_MAX);
    outbox.length = writeHeader(outbox.bytes, outbox.length, opcode, length);
    this.connection.write(bytes, 0, length);
  }

  /** Reads a frame at bytes[at], or its beginning; returns where that ends, or `at` when its header is not whole. */
  private readFrame(bytes: Buffer, at: number): number {
    const { header, intake } = this.service;
    const seen = header.read(bytes, at, bytes.length);
    if (seen === Seen.MORE) return at;
    if (seen === Seen.BROKEN) return this.fail(Close.PROTOCOL, header.problem, bytes);
    if (this.isTooLong(header))
      return this.fail(Close.TOO_BIG, "the message is too long (--max-message)", bytes);
    const { opcode, isLast, mask, length, end: start } = header;
    const end = start + length;
    if (end > bytes.length) return this.openFrame(header, bytes, start);
    if (length > intake.bytes.length) {
      const payload = Buffer.allocUnsafeSlow(length);
      bytes.copy(payload, 0, start, end);
      unmaskPart(payload, 0, length, mask);
      this.take(opcode, isLast, payload, length);
    } else {
      bytes.copy(intake.bytes, 0, start, end);
      unmask(intake.words, length, mask);
      this.take(opcode, isLast, intake.bytes, length);
    }
    return end;
  }

  private isTooLong({ length, isControl }: FrameHeader): boolean {
    const before = isControl ? 0 : (this.message?.bytes.length ?? 0);
    return before + length > this.service.messageBytesMax;
  }

  private openFrame({ opcode, isLast, mask, length }: FrameHeader, bytes: Buffer, start: number): number {
    this.frame = { opcode, isLast, mask, left: length, payload: new Growing(length) };
    return this.readOpenFrame(this.frame, bytes, start);
  }

  private readOpenFrame(frame: OpenFrame, bytes: Buffer, at: number): number {
    const { opcode, isLast, mask, payload } = frame;
    const end = Math.min(bytes.length, at + frame.left);
    if (payload !== null) appendUnmasked(payload, bytes, at, end, mask);
    frame.left -= end - at;
    if (frame.left > 0) return end;
    this.frame = null;
    if (payload === null) return end;
    const whole = payload.whole();
    this.take(opcode, isLast, whole, whole.length);
    return end;
  }

  /** A whole frame, its payload the first bytes; those may be the intake's. */
  private take(opcode: number, isLast: boolean, bytes: Buffer, length: number): void {
    if (opcode >= Opcode.CLOSE) return this.takeControl(opcode, bytes, length);
    const goesOn = opcode === Opcode.CONTINUATION;
    if (opcode > Opcode.BINARY) return void this.fail(Close.PROTOCOL, "an unknown opcode");
    if (goesOn !== (this.message !== null))
      return void this.fail(
        Close.PROTOCOL,
        goesOn ? "a fragment of no message" : "a message within another's fragments",
      );
    if (isLast && !goesOn) return this.deliver(opcode, bytes, length);
    this.message ??= { opcode, bytes: new Growing() };
    const message = this.message;
    message.bytes.append(bytes, 0, length);
    if (!isLast) return;
    this.message = null;
    this.deliver(message.opcode, message.bytes.whole(), message.bytes.length);
  }

  private deliver(opcode: number, bytes: Buffer, length: number): void {
    if (opcode === Opcode.BINARY) {
      if (bytes === this.service.intake.bytes) this.session.receiveFromIntake(length);
      else this.session.receive(bytes);
      return;
    }
    const text = bytes.subarray(0, length);
    if (isUtf8(text)) this.session.receive(text.toString("utf8"));
    else this.fail(Close.NOT_UTF8, "a text message that is no UTF-8");
  }

  private takeControl(opcode: number, bytes: Buffer, length: number): void {
    if (opcode === Opcode.CLOSE) this.takeClose(bytes, length);
    else if (opcode === Opcode.PING) {
      this.session.noteSign();
      this.answerPing(bytes, length);
    } else if (opcode === Opcode.PONG) this.session.noteSign();
    else this.fail(Close.PROTOCOL, "an unknown opcode");
  }

  private answerPing(bytes: Buffer, length: number): void {
    if (this.isClosing) return;
    if (this.connection.isBlocked) this.owedPong = Buffer.from(bytes.subarray(0, length));
    else this.writeFrame(Opcode.PONG, bytes, length);
  }

  /** Theirs answers ours, or ours theirs; then the connection ends. */
  private takeClose(bytes: Buffer, length: number): void {
    const problem = problemOfClose(bytes, length);
    if (problem !== "") this.goOut(Close.PROTOCOL, problem);
    else this.goOut(length === 0 ? Close.NO_CODE : bytes.readUInt16BE(0), "");
  }

  /** Ends it because of what the client sent; what follows is not read. */
  private fail(code: number, reason: string, bytes: Buffer = NOTHING): number {
    this.goOut(code, reason);
    return bytes.length;
  }

  /** Reads no more. What came in before is answered, then the connection ends with this code. */
  private goOut(code: number, reason: string): void {
    this.isLast = true;
    this.isReading = false;
    this.unread = this.frame = this.message = null;
    if (this.isClosing) this.connection.end();
    else this.session.finish(code, reason);
  }

  private sayClose(code: number, reason: string): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.frame = this.frame && { ...this.frame, payload: null };
    this.message = null;
    if (code === Close.NO_CODE) this.writeFrame(Opcode.CLOSE, NOTHING, 0);
    else this.writeClose(code, reason);
    if (this.isLast) this.connection.end();
  }

  private writeClose(code: number, reason: string): void {
    const payload = Buffer.alloc(2 + REASON_BYTES_MAX);
    payload.writeUInt16BE(code);
    const length = 2 + payload.write(reason, 2, REASON_BYTES_MAX, "utf8");
    this.writeFrame(Opcode.CLOSE, payload, length);
  }
}

/** Piece by piece: the whole of a large payload at once would hold up the others. */
function appendUnmasked(payload: Growing, bytes: Buffer, at: number, end: number, mask: number): void {
  const start = payload.length;
  payload.append(bytes, at, end);
  unmaskPart(payload.bytes, start, payload.length, mask);
}

/** What is wrong with a close frame's code and reason (RFC 6455, 7.4). */
function problemOfClose(bytes: Buffer, length: number): string {
  if (length === 0) return "";
  if (length === 1) return "a close frame with half a code";
  const code = bytes.readUInt16BE(0);
  const isGiven =
    (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
  if (!isGiven) return "a close code that may not be sent";
  return isUtf8(bytes.subarray(2, length)) ? "" : "a reason that is no UTF-8";
}
