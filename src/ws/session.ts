/**
 * One WebSocket's stream of requests and replies.
 *
 * Invariant: replies leave in the order of the requests, and nothing is held without bound: while a client does not
 * read, or its batches take more than their turn, the socket is paused and what was read before waits in `inbox`.
 *
 *   message ─▶ inbox ─▶ pump: execute, gather replies ─▶ send ─┬─ taken by the kernel: go on
 *                         ▲                                    └─ buffered: wait ──▶ drain
 *                         └──────────────── next turn of the loop, after TURN_OPERATIONS
 */
import type { Access } from "../commands/access";
import type { BinaryCommands } from "../commands/binary";
import type { Commands } from "../commands/commands";
import type { JsonCommands } from "../commands/json";
import { errorAnswer, type JsonAnswer, parseJson } from "../protocol/json";
import { type Intake, Read, RequestCursor } from "../protocol/request";
import type { ReplyWriter } from "../protocol/reply";
import { RequestError } from "../protocol/errors";
import { Close, Status } from "../protocol/wire";
import { callAt } from "./expiry";

/** Replies are sent when so many bytes have gathered, or at the batch's end. */
const FLUSH_BYTES = 256 * 1024;
/** After so many requests the other connections have their turn. */
const TURN_OPERATIONS = 4096;
/** Frames that were read before a pause took effect are still delivered; more than this is no longer explained by that. */
const INBOX_SLACK_BYTES = 4 << 20;

/** What a session needs of its socket; Bun's ServerWebSocket has it. */
export interface Socket {
  sendBinary(data: Uint8Array): number;
  sendText(data: string): number;
  getBufferedAmount(): number;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export class Session {
  private socket!: Socket;
  private readonly inbox: (Buffer | string)[] = [];
  private inboxBytes = 0;
  private readonly request: RequestCursor;
  /** Requests of the open message that were looked at ahead and are not executed yet. */
  private looked = 0;
  /** A message is being worked on. */
  private inMessage = false;
  /** The request under the cursor has to be executed again. */
  private unfinished = false;
  private waitsForDrain = false;
  private waitsForTurn = false;
  private paused = false;
  private draining = false;
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
    intake: Intake,
  ) {
    this.request = new RequestCursor(intake);
  }

  open(socket: Socket): void {
    this.socket = socket;
    const { expiresAt } = this.access;
    if (expiresAt !== Infinity)
      this.stopExpiry = callAt(expiresAt, () => this.withdraw("the token has expired"));
  }

  receive(message: Buffer | string): void {
    if (this.closed) return;
    this.inbox.push(message);
    this.inboxBytes += message.length;
    if (!this.waitsForDrain && !this.waitsForTurn) this.pump();
    else if (this.inboxBytes > this.commands.limits.messageBytesMax + INBOX_SLACK_BYTES)
      this.end(Close.TOO_BIG, "too much sent while replies wait to be read");
  }

  /** The socket has sent what it had buffered. */
  drained(): void {
    if (!this.waitsForDrain || this.closed || this.socket.getBufferedAmount() > 0) return;
    this.waitsForDrain = false;
    if (!this.waitsForTurn) this.pump();
  }

  /** The server shuts down: answers what was received, then says goodbye. */
  finish(): void {
    this.draining = true;
    if (!this.waitsForDrain && !this.waitsForTurn) this.pump();
  }

  /** The token is good no more: nothing further is answered. */
  withdraw(reason: string): void {
    this.end(Close.UNAUTHORIZED, reason);
  }

  /** The socket is gone. */
  ended(): void {
    this.closed = true;
    this.stopExpiry?.();
    this.inbox.length = 0;
    this.inboxBytes = 0;
    this.request.close();
  }

  /** Works until there is nothing left, the client has to read, or the turn is over. */
  private pump(): void {
    this.commands.refreshClock();
    for (let operations = 0; !this.closed; operations++) {
      if (!this.inMessage && !this.openNext()) return this.rest();
      if (!this.inMessage) {
        if (this.waitsForDrain) return this.pause();
        continue;
      }
      if (!this.step()) {
        if (this.waitsForDrain) return this.pause();
        if (this.closed) return;
      }
      if (this.unfinished || operations >= TURN_OPERATIONS) return this.yieldTurn();
    }
  }

  /** One request of the open message; false when its replies could not all be sent, or the session ended. */
  private step(): boolean {
    if (!this.unfinished) {
      if (this.looked === 0) this.lookAhead();
      this.looked--;
      const read = this.request.next();
      if (read === Read.END) {
        this.inMessage = false;
        this.looked = 0;
        this.request.close();
        return this.flush();
      }
      if (read === Read.MALFORMED) {
        this.reply.error(Status.MALFORMED, this.request.problem);
        this.flush();
        this.end(Close.POLICY, "malformed request");
        return false;
      }
    }
    this.unfinished = !this.binary.execute(this.request);
    return this.reply.length < FLUSH_BYTES || this.flush();
  }

  private lookAhead(): void {
    const { request, commands } = this;
    const { ahead } = commands;
    const count = request.peekKeys(ahead.starts, ahead.ends);
    this.looked = Math.max(1, count);
    if (count > 1) ahead.look(request.bytes, request.view, count);
  }

  /** Takes the next message; a text message is answered at once. False when there is none. */
  private openNext(): boolean {
    const message = this.inbox.shift();
    if (message === undefined) return false;
    this.inboxBytes -= message.length;
    if (typeof message === "string") {
      this.sent(this.socket.sendText(JSON.stringify(this.answerText(message))));
    } else {
      this.commands.ahead.forget();
      this.request.open(message);
      this.inMessage = true;
    }
    return true;
  }

  private answerText(message: string): JsonAnswer | JsonAnswer[] {
    try {
      const requests = parseJson(message, "the message");
      return Array.isArray(requests) ? this.json.answerAll(requests) : this.json.answer(requests);
    } catch (error) {
      if (error instanceof RequestError) return errorAnswer(error.kind, error.message);
      throw error;
    }
  }

  /** Sends the gathered replies; false when the client has to read before there may be more. */
  private flush(): boolean {
    if (this.reply.length === 0) return true;
    const result = this.socket.sendBinary(this.reply.take());
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
    return false;
  }

  private yieldTurn(): void {
    this.flush();
    if (this.closed) return;
    this.waitsForTurn = true;
    this.pause();
    setImmediate(() => {
      this.waitsForTurn = false;
      if (!this.closed && !this.waitsForDrain) this.pump();
    });
  }

  /** Nothing left to do. */
  private rest(): void {
    if (this.draining) this.end(Close.GOING_AWAY, "the server shuts down");
    else if (this.paused) {
      this.paused = false;
      this.socket.resume();
    }
  }

  private pause(): void {
    this.request.keep();
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
