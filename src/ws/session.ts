/**
 * One WebSocket's stream of requests and replies.
 *
 * Invariant: replies leave in the order of the requests, and nothing is held without bound: while a client does not
 * read, or its batches take more than their turn, what it sends waits in `inbox`, and beyond a little the socket is paused.
 *
 *   message ─▶ inbox ─▶ pump: execute, gather replies ─▶ send ─┬─ taken by the kernel: go on
 *                         ▲                                    └─ buffered: wait ──▶ drain
 *                         └──────────────── next turn of the loop, after TURN_WORK
 *
 * `net/watch.ts` looks at every session now and then, and ends those whose clients do not do their part.
 */
import type { Access } from "../commands/access";
import { type BinaryCommands, Run } from "../commands/binary";
import type { Commands } from "../commands/commands";
import type { JsonCommands } from "../commands/json";
import { JsonBatch } from "../commands/json-batch";
import { workOfBytes } from "../commands/work";
import { parseJson } from "../protocol/json";
import { type Intake, Message } from "../protocol/request";
import type { ReplyWriter } from "../protocol/reply";
import { RequestError } from "../protocol/errors";
import { Close } from "../protocol/wire";
import type { Watched } from "../net/watch";
import { callAt } from "./expiry";
import type { Turn } from "./turn";

/** After so much work the other connections have their turn. */
const TURN_WORK = 4096;
/** Each 4 characters of text are 1: it is parsed and checked, and written as text again. */
const TEXT_PER_WORK_SHIFT = 2;
/** A message, however small, is a frame to take apart and one to send. */
const MESSAGE_WORK = 16;
/** What may come in while a session waits for its client or its turn, before its socket is paused. */
const INBOX_BYTES = 256 * 1024;
/** What a message takes that waits, beside its own bytes. */
const MESSAGE_BYTES = 256;

/** What a session needs of its socket. */
export interface Socket {
  /** Sends the first `length` bytes, which may be used again afterwards. */
  sendBinary(bytes: Buffer, length: number): number;
  sendText(data: string): number;
  /** Bytes of what was sent that wait for the client. */
  getBufferedAmount(): number;
  /** The same with what has come in of messages that are not whole yet. */
  heldBytes(): number;
  ping(): void;
  pause(): void;
  resume(): void;
  /** Something that came in is still to be received; to one that is leaving `goOn` is said when it has been. */
  readonly isReading: boolean;
  close(code: number, reason: string): void;
  terminate(): void;
}

let opened = 0;

export class Session implements Watched {
  /** Tells sessions apart. */
  readonly number = opened++;
  private socket!: Socket;
  private readonly inbox: (Buffer | string)[] = [];
  private inboxBytes = 0;
  private readonly message: Message;
  /** A message is being worked on. */
  private inMessage = false;
  /** A text message that is being worked on. */
  private batch: JsonBatch | null = null;
  /** The message under way goes on where it is, in a later turn. */
  private unfinished = false;
  /** Work done in this turn. */
  private work = 0;
  /** Since the last look a whole message came in, or a ping or pong. */
  private heard = true;
  /** Since the last look the client has taken all that waited for it. */
  private took = false;
  /** Bytes that waited for the client when it last took some. */
  private waiting = 0;
  private looks = 0;
  private waitsForDrain = false;
  private waitsForTurn = false;
  private paused = false;
  /** Said when all is answered. */
  private goodbye: { readonly code: number; readonly reason: string } | null = null;
  private closed = false;
  private stopExpiry: (() => void) | null = null;

  constructor(
    readonly access: Access,
    private readonly commands: Commands,
    private readonly binary: BinaryCommands,
    private readonly json: JsonCommands,
    /** Shared by all sessions of a worker: empty whenever no session is in `pump`. */
    private readonly reply: ReplyWriter,
    /** Shared likewise: between two pumps no session reads from it. */
    private readonly intake: Intake,
    private readonly turn: Turn,
    private readonly onFault: (error: unknown) => void,
  ) {
    this.message = new Message(intake);
  }

  open(socket: Socket): void {
    this.socket = socket;
    const { expiresAt } = this.access;
    if (expiresAt !== Infinity)
      this.stopExpiry = callAt(expiresAt, () => this.withdraw("the token has expired"));
  }

  receive(message: Buffer | string): void {
    if (this.closed) return;
    this.heard = true;
    if (message.length === 0 && typeof message !== "string") return;
    this.inbox.push(message);
    this.inboxBytes += message.length + MESSAGE_BYTES;
    if (!this.waitsForDrain && !this.waitsForTurn) this.pump();
    else if (this.inboxBytes > INBOX_BYTES) this.pause();
  }

  /** The same for a binary message that lies in the intake. */
  receiveFromIntake(length: number): void {
    if (this.closed) return;
    const mayWork = !this.inMessage && !this.waitsForDrain && !this.waitsForTurn;
    if (!mayWork) return this.receive(Buffer.from(this.intake.bytes.subarray(0, length)));
    this.heard = true;
    this.beginTurn();
    this.work += MESSAGE_WORK;
    this.inMessage = true;
    this.message.openIntake(length);
    this.pump();
  }

  /** The kernel did not take all that was sent. */
  blocked(): void {
    if (this.closed || this.waitsForDrain) return;
    this.waitsForDrain = true;
    this.waiting = this.socket.getBufferedAmount();
  }

  /** The socket has sent what it had buffered. */
  drained(): void {
    if (!this.waitsForDrain || this.closed || this.socket.getBufferedAmount() > 0) return;
    this.waitsForDrain = false;
    this.took = true;
    if (!this.waitsForTurn) this.pump();
  }

  /** A ping or a pong came. */
  noteSign(): void {
    this.heard = true;
  }

  /** Counts this look, and returns how many there have been since the client last did its part: to read what waits, else to be heard. */
  looksWithoutClient(): number {
    const didItsPart =
      this.took || (this.waitsForDrain || this.closed ? this.clientReads() : this.heard || this.waitsForTurn);
    this.looks = didItsPart ? 0 : this.looks + 1;
    this.took = false;
    this.heard = false;
    return this.looks;
  }

  /** Bytes of requests and replies that wait here. */
  heldBytes(): number {
    return this.inboxBytes + this.socket.heldBytes();
  }

  ping(): void {
    if (!this.closed && !this.waitsForDrain) this.socket.ping();
  }

  /** Ends it without a word: the client does not read, is in the middle of a frame, or leaves our goodbye unanswered. */
  cut(): void {
    this.ended();
    this.socket.terminate();
  }

  /** Ends it because all sessions together hold too much. */
  shed(): void {
    if (this.waitsForDrain || this.closed) this.cut();
    else this.end(Close.TRY_AGAIN, "the server holds too much for its clients");
  }

  /** Answers what was received, then says goodbye. Nothing more is to be received. */
  finish(code: number, reason: string): void {
    if (this.closed) return;
    this.goodbye ??= { code, reason };
    this.goOn();
  }

  /** It says goodbye as soon as it can. */
  get isLeaving(): boolean {
    return this.goodbye !== null;
  }

  /** All that came in has been received. */
  goOn(): void {
    if (!this.closed && !this.waitsForDrain && !this.waitsForTurn) this.pump();
  }

  /** It has not said goodbye, or the kernel not taken all of that. */
  get isBusy(): boolean {
    return !this.closed || this.socket.getBufferedAmount() > 0;
  }

  /** The token is good no more: nothing further is answered. */
  withdraw(reason: string): void {
    this.end(Close.UNAUTHORIZED, reason);
  }

  /** Nothing more is answered. */
  ended(): void {
    this.closed = true;
    // Their goodbye is still to come.
    this.resume();
    this.stopExpiry?.();
    this.inbox.length = 0;
    this.inboxBytes = 0;
    this.message.close();
    this.batch = null;
    this.inMessage = false;
    this.unfinished = false;
  }

  /** Works, and takes a fault of ours for this connection's end, not for that of all on the same worker. */
  private pump(): void {
    try {
      this.workOff();
      this.message.keep();
    } catch (error) {
      this.onFault(error);
      this.reply.reset();
      this.end(Close.INTERNAL, "internal error; it is in the server's log");
    }
  }

  /** Works until there is nothing left, the client has to read, or the turn is over. */
  private workOff(): void {
    this.commands.refreshClock();
    this.beginTurn();
    while (!this.closed) {
      if (!this.inMessage && !this.openNext()) return this.rest();
      const goesOn = this.batch === null ? this.step() : this.textStep(this.batch);
      if (!goesOn && (this.waitsForDrain || this.closed)) return;
      if (this.unfinished || this.work >= TURN_WORK) return this.yieldTurn();
    }
  }

  /** What was done before in the same turn counts too: there may be many small messages. */
  private beginTurn(): void {
    if (this.turn.take(this)) this.work = 0;
  }

  /** Requests of the open message; false when the replies could not all be sent, or the session ended. */
  private step(): boolean {
    const { message } = this;
    const end = this.binary.run(message, TURN_WORK - this.work);
    this.work += this.binary.work;
    this.unfinished = end === Run.TURN_OVER;
    switch (end) {
      case Run.DONE:
        this.inMessage = false;
        message.close();
        // Of messages that wait here the replies leave together; a text's answer has its own message.
        return typeof this.inbox[0] === "object" || this.flush();
      case Run.MALFORMED:
        this.flush();
        this.end(Close.POLICY, "malformed request");
        return false;
      case Run.REPLIES_FULL:
        return this.flush();
      case Run.TURN_OVER:
        return true;
    }
  }

  /** A slice of the open text message; false when its answer could not be sent. */
  private textStep(batch: JsonBatch): boolean {
    this.unfinished = !batch.step();
    if (this.unfinished) return true;
    this.inMessage = false;
    this.batch = null;
    const text = batch.text();
    this.work += text.length >>> TEXT_PER_WORK_SHIFT;
    return this.sent(this.socket.sendText(text));
  }

  /** Takes the next message; false when there is none. */
  private openNext(): boolean {
    const message = this.inbox.shift();
    if (message === undefined) return false;
    this.inboxBytes -= message.length + MESSAGE_BYTES;
    this.work += MESSAGE_WORK;
    this.inMessage = true;
    if (typeof message === "string") this.openText(message);
    else this.message.open(message);
    return true;
  }

  private openText(message: string): void {
    this.work += message.length >>> TEXT_PER_WORK_SHIFT;
    const { limits } = this.commands;
    try {
      this.batch = new JsonBatch(this.json, limits, parseJson(message, "the message", limits));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.batch = JsonBatch.refused(this.json, limits, error);
    }
  }

  /** Sends the gathered replies; false when the client has to read before there may be more. */
  private flush(): boolean {
    if (this.reply.length === 0) return true;
    this.work += workOfBytes(this.reply.length);
    const result = this.socket.sendBinary(this.reply.bytes, this.reply.length);
    this.reply.reset();
    return this.sent(result);
  }

  /** Takes a send's result: above 0 sent, -1 buffered, 0 dropped because the connection is gone. */
  private sent(result: number): boolean {
    if (result > 0) return true;
    if (result === 0) {
      this.ended();
      this.socket.terminate();
      return false;
    }
    this.waitsForDrain = true;
    this.waiting = this.socket.getBufferedAmount();
    return false;
  }

  /** The client has taken some of what waits for it; the kernel tells in lumps, a third of its buffer each. */
  private clientReads(): boolean {
    const waiting = this.socket.getBufferedAmount();
    const less = waiting < this.waiting;
    this.waiting = waiting;
    return less;
  }

  private yieldTurn(): void {
    this.flush();
    if (this.closed) return;
    this.waitsForTurn = true;
    setImmediate(() => {
      this.waitsForTurn = false;
      this.turn.end();
      if (!this.closed && !this.waitsForDrain) this.pump();
    });
  }

  /** Nothing left to do. */
  private rest(): void {
    this.resume();
    if (this.goodbye !== null && !this.socket.isReading) this.end(this.goodbye.code, this.goodbye.reason);
  }

  private resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.socket.resume();
  }

  /** Only when it has to be: a paused socket whose peer has gone may not hear of it, and stays until the watch ends it. */
  private pause(): void {
    if (this.paused || this.closed) return;
    this.paused = true;
    this.socket.pause();
  }

  private end(code: number, reason: string): void {
    if (this.closed) return;
    this.ended();
    this.socket.close(code, reason);
  }
}
