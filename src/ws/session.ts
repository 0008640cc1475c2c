/**
 * One WebSocket's stream of requests and replies.
 *
 * Invariant: replies leave in the order of the requests, and nothing is held without bound. While a client does not read,
 * or its batches take more than their turn, what it sends waits in `inbox`, and beyond a little the socket is paused.
 *
 *            message                    all is answered
 *      IDLE ─────────▶ WORKING ───────────────────────────────▶ IDLE
 *                      ▲  ▲  └── the turn is over ──▶ WAITING ──┐
 *                      │  └──────── its next turn ──────────────┘
 *                      │     └── the kernel is full ─▶ BLOCKED ─┐
 *                      └──────────── drain ─────────────────────┘
 *
 * | a session ends because …                        | the client gets                                         |
 * | ------------------------------------------------ | ------------------------------------------------------- |
 * | it sent a malformed request                      | the replies so far, the error, then 1008                |
 * | the server shuts down                            | the replies to all that has come in, then 1001          |
 * | its token has expired or was withdrawn           | 4401 at once                                            |
 * | all sessions together hold too much              | 1013; nothing where it does not read                    |
 * | it does not read, or was not heard of (watch.ts) | nothing: the connection is cut                          |
 * | of a fault of ours                               | 1011                                                    |
 * | the socket is gone                               | –                                                       |
 */
import type { Access } from "../commands/access";
import { BinaryCommands, Run } from "../commands/binary";
import type { Commands } from "../commands/commands";
import { JsonCommands } from "../commands/json";
import { JsonBatch } from "../commands/json-batch";
import type { Garbage } from "../commands/garbage";
import type { Quota } from "../commands/quota";
import type { Traffic } from "../commands/traffic";
import type { Turns } from "../commands/turns";
import { workOfBytes } from "../commands/work";
import { errorAnswer, parseJson } from "../protocol/json";
import { jsonPushes } from "../protocol/push";
import { type Intake, Message } from "../protocol/request";
import type { ReplyWriter } from "../protocol/reply";
import { RequestError } from "../protocol/errors";
import { Close } from "../protocol/wire";
import { callAt } from "../system/expiry";
import type { Feed, FeedOwner } from "../streaming/feed";
import type { Streams } from "../streaming/streams";

/** After so much work the other connections have their turn. */
const TURN_WORK = 4096;
/** Each 4 characters of text are 1: it is parsed and checked, and written as text again. */
const TEXT_PER_WORK_SHIFT = 2;
/** A message, however small, is a frame to take apart and one to send. */
const MESSAGE_WORK = 16;
/** Messages that may come in while a session waits for its client or its turn, before its socket is paused. */
const INBOX_BYTES = 256 * 1024;
/** What a message takes beside its own bytes. */
const MESSAGE_BYTES = 256;

/** What a session needs of its socket; Bun's ServerWebSocket has it. */
export interface Socket {
  /** Above 0: taken by the kernel; -1: buffered, a drain will follow; 0: the connection is gone. */
  sendBinary(data: Uint8Array): number;
  sendText(data: string): number;
  /** Bytes of what was sent that wait for the client. */
  getBufferedAmount(): number;
  ping(): void;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

/** What all sessions of a worker share. */
export interface SessionContext {
  readonly commands: Commands;
  readonly streams: Streams;
  /** Empty whenever no session is working. */
  readonly reply: ReplyWriter;
  /** Answers to tickets; empty whenever none are being sent. */
  readonly fills: ReplyWriter;
  /** Whenever no session is working, none reads from it. */
  readonly intake: Intake;
  readonly turns: Turns;
  readonly garbage: Garbage;
  readonly quota: Quota;
  /** Of binary messages, and of text messages. */
  readonly frames: Traffic;
  readonly texts: Traffic;
  /** The replies that are unread have become too many. */
  readonly onOverflow: () => void;
  readonly onFault: (error: unknown) => void;
}

export const Phase = {
  /** Nothing to do until a message comes in. */
  IDLE: "idle",
  /** Executing requests: within one call of `pump` only. */
  WORKING: "working",
  /** There is more to do, after the other connections have had their turn. */
  WAITING: "waiting",
  /** Backpressure: the kernel has not taken all replies. */
  BLOCKED: "blocked",
  /** Nothing more is received or answered; the client's close frame may not have come yet. */
  CLOSED: "closed",
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

let opened = 0;

export class Session implements FeedOwner {
  /** Tells sessions apart. */
  readonly number = opened++;
  phase: Phase = Phase.IDLE;
  private socket!: Socket;
  private readonly inbox: (Buffer | string)[] = [];
  private inboxBytes = 0;
  private readonly binary: BinaryCommands;
  private readonly json: JsonCommands;
  private readonly message: Message;
  /** What it watches, and what it is to be told. */
  private readonly feed: Feed;
  private readonly fills: BinaryCommands;
  /** The message that is being executed: `message` for a binary one. */
  private job: Message | JsonBatch | null = null;
  /** When its execution began, as Traffic has it; while the client has to read, what Traffic holds instead. */
  private jobStart = NaN;
  /** Work done in this turn. */
  private turnWork = 0;
  private isPaused = false;
  /** The close frame that is sent when everything that came in is answered. */
  private goodbye: { readonly code: number; readonly reason: string } | null = null;
  private stopExpiry: (() => void) | null = null;
  /** For the watch: since its last look a message, a ping or a pong came in; the client took all that waited for it. */
  private heard = true;
  private took = false;
  /** Bytes that waited for the client when it last took some. */
  private unreadBytes = 0;
  private looks = 0;

  constructor(
    readonly access: Access,
    private readonly context: SessionContext,
  ) {
    const { commands, streams, reply, fills, intake, onFault } = context;
    this.feed = streams.newFeed(this);
    this.fills = new BinaryCommands(commands, fills, access, onFault);
    this.binary = new BinaryCommands(commands, reply, access, onFault);
    this.json = new JsonCommands(commands, access, onFault);
    this.message = new Message(intake);
  }

  open(socket: Socket): void {
    this.socket = socket;
    const { expiresAt } = this.access;
    if (expiresAt !== Infinity)
      this.stopExpiry = callAt(expiresAt, () => this.withdraw("the token has expired"));
  }

  receive(message: Buffer | string): void {
    if (this.phase === Phase.CLOSED) return;
    // A session that is about to say goodbye reads on, to hear of its client's end; what is too much then has come too late.
    if (this.goodbye !== null && this.inboxBytes > INBOX_BYTES) return;
    this.heard = true;
    if (message.length === 0 && typeof message !== "string") return;
    this.context.garbage.note(message.length + MESSAGE_BYTES);
    this.inbox.push(message);
    this.inboxBytes += message.length + MESSAGE_BYTES;
    if (this.phase === Phase.IDLE) this.pump();
    else this.regulate();
  }

  /** The socket has sent some of what it had buffered. */
  drained(): void {
    if (this.phase !== Phase.BLOCKED || this.socket.getBufferedAmount() > 0) return;
    this.took = true;
    this.noteUnread(0);
    this.jobStart = this.context.frames.goOn(this.jobStart);
    this.pump();
  }

  /** A ping or a pong came. */
  noteSign(): void {
    this.heard = true;
  }

  /** Answers what was received, then sends a close frame. */
  finish(code: number, reason: string): void {
    this.goodbye ??= { code, reason };
    if (this.phase === Phase.IDLE) this.pump();
    else this.regulate();
  }

  /** The token is no longer valid: nothing further is answered. */
  withdraw(reason: string): void {
    this.end(Close.UNAUTHORIZED, reason);
  }

  /** Terminates the connection without a close frame: the client does not read, is in the middle of a frame, or has not answered ours. */
  cut(): void {
    this.letGo();
    this.socket.terminate();
  }

  /** Ends it because all sessions together hold too much. */
  shed(): void {
    if (this.phase === Phase.BLOCKED || this.phase === Phase.CLOSED) this.cut();
    else this.end(Close.TRY_AGAIN, "the server holds too much for its clients");
  }

  /** The socket is gone. */
  gone(): void {
    this.isPaused = false;
    this.letGo();
    this.noteUnread(0);
  }

  /** Counts this look, and returns how many there were since the client last read what waits for it or, where nothing waits, was heard. */
  looksWithoutClient(): number {
    const { phase } = this;
    const mustRead = phase === Phase.BLOCKED || phase === Phase.CLOSED;
    const didItsPart = this.took || (mustRead ? this.clientReads() : this.heard || phase === Phase.WAITING);
    this.looks = didItsPart ? 0 : this.looks + 1;
    this.took = false;
    this.heard = false;
    return this.looks;
  }

  ping(): void {
    if (this.phase === Phase.IDLE || this.phase === Phase.WAITING) this.socket.ping();
  }

  /** Bytes of requests and replies that wait here. What a JSON message holds is in the worker's quota. */
  heldBytes(): number {
    const open = this.job === this.message ? this.message.end : 0;
    const asked = this.binary.heldBytes + this.json.heldBytes;
    return this.inboxBytes + open + asked + this.feed.pushes.length + this.socket.getBufferedAmount();
  }

  /** There is something to tell the client. A session that is working tells it before its next replies. */
  onNews(): void {
    if (this.phase !== Phase.IDLE && this.phase !== Phase.WAITING) return;
    this.tell();
    this.regulate();
  }

  /** Pushes are at their bound: sends them, unless the client does not read. */
  makeRoom(): boolean {
    if (this.phase === Phase.BLOCKED || this.phase === Phase.CLOSED) return false;
    this.sendPushes();
    return true;
  }

  /** It has not said goodbye, or the client has not taken all of that. */
  get isBusy(): boolean {
    return this.phase !== Phase.CLOSED || this.socket.getBufferedAmount() > 0;
  }

  /** Nothing can be sent any more: to send may be what shows that. */
  private get isOver(): boolean {
    return this.phase === Phase.CLOSED;
  }

  /** What comes in has to wait, for its turn or for the client to read. */
  private get isHeldUp(): boolean {
    return this.phase === Phase.WAITING || this.phase === Phase.BLOCKED;
  }

  /** Throws where the state contradicts itself; for tests, between two calls from outside. */
  invariants(): void {
    const { phase, inbox, job, isPaused, context } = this;
    const waiting = inbox.reduce((sum, message) => sum + message.length + MESSAGE_BYTES, 0);
    const rules: [holds: boolean, rule: string][] = [
      [phase !== Phase.WORKING, "it works within pump only"],
      [this.inboxBytes === waiting, "inboxBytes is what the inbox holds"],
      [this.isHeldUp || inbox.length === 0, "what can be done is done"],
      [this.isHeldUp || job === null, "a job is open only while it waits"],
      [this.isHeldUp || !isPaused, "who waits for nothing reads on"],
      [isPaused || this.goodbye !== null || this.inboxBytes <= INBOX_BYTES, "a full inbox pauses the socket"],
      [phase !== Phase.IDLE || this.goodbye === null, "a goodbye is said when idle"],
      [context.reply.length === 0, "replies are sent before others work"],
      [job === this.message || this.message.end === 0, "a message that is done is let go of"],
    ];
    for (const [holds, rule] of rules)
      if (!holds) throw new Error(`session ${this.number}, ${phase}: ${rule}`);
  }

  /** Works until there is nothing left, the client has to read, or the turn is over. A fault ends this connection, no other. */
  private pump(): void {
    const { commands, streams, turns, reply, onFault } = this.context;
    this.phase = Phase.WORKING;
    streams.serve(this.feed);
    try {
      commands.refreshClock();
      this.tell();
      if (turns.take(this)) this.turnWork = 0;
      while (this.phase === Phase.WORKING) this.step();
      this.message.keep();
    } catch (error) {
      onFault(error);
      reply.reset();
      this.end(Close.INTERNAL, "internal error; it is in the server's log");
    }
    streams.serve(null);
    this.regulate();
  }

  private step(): void {
    if (this.job === null && !this.openNext()) return this.rest();
    if (this.job instanceof JsonBatch) this.runText(this.job);
    else if (this.job !== null) this.runBinary(this.job);
    if (this.turnWork >= TURN_WORK) this.yieldTurn();
  }

  /** Nothing left to do. */
  private rest(): void {
    if (this.goodbye !== null) this.end(this.goodbye.code, this.goodbye.reason);
    else this.phase = Phase.IDLE;
  }

  /** Takes the next message; false when there is none. */
  private openNext(): boolean {
    const message = this.inbox.shift();
    if (message === undefined) return false;
    this.inboxBytes -= message.length + MESSAGE_BYTES;
    this.turnWork += MESSAGE_WORK;
    if (typeof message === "string") this.openText(message);
    else {
      this.jobStart = this.context.frames.begin(message.length);
      this.message.open(message);
      this.job = this.message;
    }
    return true;
  }

  private openText(text: string): void {
    this.turnWork += text.length >>> TEXT_PER_WORK_SHIFT;
    const { commands, quota, texts } = this.context;
    const { limits } = commands;
    this.jobStart = texts.begin(Buffer.byteLength(text));
    try {
      const options = { limits, quota, messageBytes: text.length, answerBytesMax: limits.messageBytesMax };
      this.job = new JsonBatch(this.json, options, parseJson(text, "the message", limits));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      commands.noteError(error.kind);
      this.sendText(JSON.stringify(errorAnswer(error.kind, error.message)));
    }
  }

  private runBinary(message: Message): void {
    this.feed.executesText = false;
    const end = this.binary.run(message, TURN_WORK - this.turnWork);
    this.turnWork += this.binary.work;
    switch (end) {
      case Run.DONE:
        this.context.frames.end(this.jobStart);
        this.closeJob();
        // Of messages that wait here the replies leave together; a text's answer has its own message.
        if (!(this.inbox[0] instanceof Uint8Array)) this.flush();
        return;
      case Run.MALFORMED:
        this.flush();
        return this.end(Close.POLICY, "malformed request");
      case Run.REPLIES_FULL:
        return this.flush();
      case Run.TURN_OVER:
        return this.yieldTurn();
      case Run.SUSPENDED:
        return this.waitFor(this.binary.answered);
    }
  }

  /** A slice of a text message. */
  private runText(batch: JsonBatch): void {
    this.feed.executesText = true;
    if (!batch.step()) return batch.waitsFor === null ? this.yieldTurn() : this.waitFor(batch.waitsFor);
    const text = batch.takeText();
    this.closeJob();
    this.turnWork += text.length >>> TEXT_PER_WORK_SHIFT;
    this.context.garbage.note(text.length);
    this.sendText(text);
  }

  /** The whole answer to a text message; what it could have seen is told before. */
  private sendText(text: string): void {
    const { streams, texts } = this.context;
    texts.end(this.jobStart);
    streams.look();
    this.sendPushes();
    if (this.isOver) return;
    this.send(text);
    this.sendFills();
  }

  private closeJob(): void {
    this.job?.close();
    this.job = null;
  }

  /** Sends the gathered replies; what they could have seen is told before. */
  private flush(): void {
    const { reply, streams } = this.context;
    if (reply.length === 0) return;
    streams.look();
    this.sendPushes();
    if (this.isOver) return reply.reset();
    this.turnWork += workOfBytes(reply.length);
    this.send(reply.take());
    reply.reset();
    this.sendFills();
  }

  /** Sends all that the client is to be told. */
  private tell(): void {
    this.sendPushes();
    this.sendFills();
  }

  /** Sends what was gathered of changes. Replies may follow, however little the client reads: they are bounded themselves. */
  private sendPushes(): void {
    const { pushes, isText } = this.feed;
    if (pushes.length === 0 || this.isOver) return;
    this.turnWork += MESSAGE_WORK + workOfBytes(pushes.length);
    // Taken before it is sent: sending may end the session, and that clears what it has.
    const messages = isText ? jsonPushes(pushes.view()).map((push) => JSON.stringify(push)) : [pushes.view()];
    pushes.clear();
    for (const message of messages) if (!this.isOver) this.send(message);
  }

  /** Answers tickets that can be answered, as long as the client reads. */
  private sendFills(): void {
    const { feed } = this;
    if (feed.due.length === 0) return;
    const { commands, streams } = this.context;
    const { served } = streams;
    streams.serve(feed);
    commands.refreshClock();
    while (feed.due.length > 0 && this.phase !== Phase.BLOCKED && !this.isOver) this.fillSome();
    streams.serve(served);
  }

  /** As many tickets as make a message. */
  private fillSome(): void {
    const { feed } = this;
    const { fills, streams } = this.context;
    const texts: string[] = [];
    while (feed.due.length > 0 && texts.length === 0 && !fills.isFull) {
      const ticket = feed.due.shift()!;
      if (!ticket.isText) this.fills.fill(ticket);
      else {
        const reply = this.json.fill(ticket);
        if (reply !== null) texts.push(JSON.stringify({ push: "filled", ticket: ticket.number, reply }));
      }
    }
    streams.look();
    this.sendPushes();
    if (fills.length > 0 && !this.isOver) this.send(fills.take());
    fills.reset();
    for (const text of texts) if (!this.isOver) this.send(text);
  }

  /** Sends a message: replies, pushes or answers to tickets. */
  private send(message: string | Buffer): void {
    const { frames, texts } = this.context;
    if (typeof message === "string") {
      texts.sent(Buffer.byteLength(message));
      this.sent(this.socket.sendText(message));
    } else {
      frames.sent(message.length);
      this.sent(this.socket.sendBinary(message));
    }
  }

  /** Takes a send's result. */
  private sent(result: number): void {
    if (result > 0) return;
    if (result === 0) return this.cut();
    // What the kernel did not take may be followed by a reply; the wait begins once.
    if (this.phase !== Phase.BLOCKED) this.jobStart = this.context.frames.hold(this.jobStart);
    this.phase = Phase.BLOCKED;
    this.noteUnread(this.socket.getBufferedAmount());
    if (this.context.quota.isOverflowing) this.context.onOverflow();
  }

  private noteUnread(bytes: number): void {
    this.context.quota.unread += bytes - this.unreadBytes;
    this.unreadBytes = bytes;
  }

  /** Lets the other connections have their turn. */
  private yieldTurn(): void {
    this.waitUntil((goOn) => this.context.turns.wait(goOn));
  }

  /** Lets the others go on until the store of record has answered. */
  private waitFor(answered: Promise<void>): void {
    const { turns } = this.context;
    this.waitUntil((goOn) => void answered.then(() => turns.resume(goOn)));
  }

  /** Sends what is answered and waits, unless it has to wait for its client anyway. */
  private waitUntil(until: (goOn: () => void) => void): void {
    if (this.phase !== Phase.WORKING) return;
    this.flush();
    if (this.phase !== Phase.WORKING) return;
    this.phase = Phase.WAITING;
    until(() => {
      if (this.phase === Phase.WAITING) this.pump();
    });
  }

  /**
   * The one place where backpressure is applied to the client and released again. The socket is paused only when it has to be: a
   * paused socket may not notice that its peer has gone, and then stays until the watch cuts it.
   */
  private regulate(): void {
    const isFull = this.isPaused || this.inboxBytes > INBOX_BYTES;
    const isPaused = this.isHeldUp && this.goodbye === null && isFull;
    if (isPaused === this.isPaused) return;
    this.isPaused = isPaused;
    if (isPaused) this.socket.pause();
    else this.socket.resume();
  }

  /** The client has taken some of what waits for it; the kernel tells in lumps, a third of its buffer each. */
  private clientReads(): boolean {
    const before = this.unreadBytes;
    this.noteUnread(this.socket.getBufferedAmount());
    return this.unreadBytes < before;
  }

  private end(code: number, reason: string): void {
    if (this.phase === Phase.CLOSED) return;
    this.letGo();
    this.socket.close(code, reason);
  }

  /** Nothing more is received or answered. The socket is still read, at least until the client's close frame has come. */
  private letGo(): void {
    this.phase = Phase.CLOSED;
    this.context.streams.close(this.feed);
    this.stopExpiry?.();
    this.inbox.length = 0;
    this.inboxBytes = 0;
    this.closeJob();
    this.context.garbage.noteSessionEnd();
    this.regulate();
  }
}
