/**
 * One connection as a stream of HTTP/1.1 requests and their answers (RFC 9112): any number of requests one behind the
 * other, each answered in its turn.
 *
 * Invariant: one request is under way at a time, and what comes behind it waits unread: while its answer is not there
 * yet, or the client does not read, and beyond a little the socket is paused.
 *
 *   bytes ─▶ head ─▶ admitted? ─▶ body ─▶ handler ─▶ answer ─▶ next head …
 *                       └ no: answer, and the body is skipped or the connection ends
 */
import type { Connection, Stream } from "../net/connection";
import type { Intake } from "../protocol/request";
import { restOf } from "../net/rest";
import type { Watched } from "../net/watch";
import { Body, bodyLength, CHUNKED, UNKNOWABLE } from "./message/body";
import { CR, LF } from "./message/bytes";
import { Header } from "./message/header-names";
import { Method, Parsed, viewOf } from "./message/head";
import type { Session } from "../ws/session";
import { errorReply, NO_BODY, type Reply, replyFor } from "./message/reply";
import { HttpRequest } from "./request";
import type { Endpoint, Routes } from "./routes";
import { type Manner, writeReply } from "./message/write";

/** What may come in while an answer is made or read, before the socket is paused. */
const UNREAD_BYTES_MAX = 64 * 1024;
/** A body that nobody wants is read so far, for the sake of the connection; after a longer one it ends. */
const SKIP_BYTES_MAX = 256 * 1024;
/** After so much work others have their turn; a request is 1, and some are more (routes.ts). */
const TURN_WORK = 256;
/** Each 8 KiB that are copied for an answer are another 1. */
const COPIED_PER_WORK_SHIFT = 13;
/** Within the client's timeout this much of a body has to come in, or its rest. */
const BODY_BYTES_PER_TIMEOUT = 1 << 20;
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

/** What all connections of a worker share. */
export interface HttpService {
  readonly routes: Routes;
  /** Where small pieces of input are read; empty between two events. */
  readonly intake: Intake;
  /** The request under way in this event. */
  request: HttpRequest;
  readonly onFault: (error: unknown) => void;
}

/** Whose connections these are. */
export interface HttpOwner {
  /** The connection has become a WebSocket; what came right behind the request is its first input. */
  upgraded(stream: HttpStream, session: Session, first: Buffer): void;
  httpEnded(stream: HttpStream): void;
  /** The server shuts down. */
  readonly isFinishing: boolean;
}

export class HttpStream implements Stream, Watched, Manner {
  readonly number = 0;
  /** Input that was not read yet. */
  private unread: Buffer | null = null;
  /** A request whose body is coming in; null while one is skipped. */
  private request: HttpRequest | null = null;
  private endpoint: Endpoint | null = null;
  private body: Body | null = null;
  /** Its answer is being made. */
  private isAnswering = false;
  /** Work done in this turn, and whether it is over. */
  private work = 0;
  private waitsForTurn = false;
  /** No more is read or answered. */
  private isDone = false;
  /** The peer has sent all it will. */
  private isLast = false;
  private isFinishing = false;
  /** It came when the server was shutting down already. */
  private readonly isLate: boolean;
  /** A request was read. */
  private hasAsked = false;
  private isPaused = false;
  /** Bytes behind the request under way, in the piece that is being read. */
  private behind = 0;
  /** The client may go on sending what nobody will read. */
  private mayBeSending = false;
  /** Who goes on with the connection. */
  private upgraded: Session | null = null;
  private looks = 0;
  /** What waited for the client, and what of the body had come, at the last look that saw progress. */
  private waiting = 0;
  private bodySeen = 0;
  /** How the request under way is to be answered. */
  isHead = false;
  keepsAlive = true;
  minorVersion = 1;
  extraHeaders = "";

  constructor(
    readonly connection: Connection,
    private readonly service: HttpService,
    private readonly owner: HttpOwner,
  ) {
    this.isLate = owner.isFinishing;
    this.isFinishing = this.isLate;
  }

  receive(bytes: Buffer): void {
    if (this.isDone) return;
    if (!this.waitsForTurn) this.work = 0;
    const { intake } = this.service;
    if (this.unread !== null) this.read(Buffer.concat([this.unread, bytes]));
    else if (bytes.length > intake.bytes.length) this.read(bytes);
    else {
      bytes.copy(intake.bytes);
      this.readFrom(intake.bytes, intake.view, bytes.length);
    }
  }

  blocked(): void {
    this.waiting = this.connection.unsentBytes;
  }

  drained(): void {
    this.looks = 0;
    this.goOn();
  }

  peerEnded(): void {
    this.isLast = true;
    // Of a request that is not whole nobody knows what it was to be.
    if (this.isReading) this.close();
  }

  gone(): void {
    this.isDone = true;
    this.unread = null;
    this.body = null;
    this.request = null;
    this.owner.httpEnded(this);
  }

  /** A request is under way. */
  get isBusy(): boolean {
    if (this.isDone) return this.connection.isBlocked;
    return (
      this.isAnswering ||
      this.waitsForTurn ||
      this.body !== null ||
      this.unread !== null ||
      this.connection.isBlocked
    );
  }

  /** Something came in behind the request under way. */
  private get hasMore(): boolean {
    return this.unread !== null || this.behind > 0;
  }

  /** Its answer is given, and only the rest of a body that nobody wants is still to come. */
  private get isSkipping(): boolean {
    return this.body !== null && this.request === null && !this.isAnswering;
  }

  /** The server shuts down: answers what has begun to come in, and ends. */
  finish(): void {
    this.isFinishing = true;
    if (this.request !== null) this.request.isPlain = false;
    if (!this.isBusy || this.isSkipping) this.close();
  }

  /** Ends it if it waits for a next request, or for its first one and not just now. */
  closeIdle(): void {
    const isNew = !this.hasAsked && this.looks === 0;
    if (!this.isBusy && !isNew) this.close();
  }

  looksWithoutClient(): number {
    if ((this.isAnswering || this.waitsForTurn) && !this.connection.isBlocked) this.looks = 0;
    else this.looks = this.clientDoesItsPart() ? 0 : this.looks + 1;
    return this.looks;
  }

  heldBytes(): number {
    return (this.unread?.length ?? 0) + (this.body?.heldBytes ?? 0) + this.connection.unsentBytes;
  }

  /** HTTP has no such thing. */
  ping(): void {}

  /** The client took too long: over a request, to read, or for the next request. */
  cut(): void {
    if (this.isDone || this.connection.isBlocked) this.endNow();
    else if (this.isBusy && !this.isSkipping)
      this.refuse(errorReply(408, "the request did not come in whole in time (--client-timeout)"));
    else this.close();
  }

  shed(): void {
    this.connection.cut();
  }

  /** The server's last moment; what the kernel has taken still arrives. */
  endNow(): void {
    this.connection.endNow();
  }

  /** It reads some of what waits for it, or sends enough of a body. */
  private clientDoesItsPart(): boolean {
    const { unsentBytes } = this.connection;
    const reads = unsentBytes < this.waiting;
    this.waiting = unsentBytes;
    const received = this.body?.received ?? 0;
    if (received - this.bodySeen < BODY_BYTES_PER_TIMEOUT) return reads;
    this.bodySeen = received;
    return true;
  }

  private get isReading(): boolean {
    return (
      !this.isAnswering &&
      !this.waitsForTurn &&
      !this.isDone &&
      this.upgraded === null &&
      !this.connection.isBlocked
    );
  }

  private read(bytes: Buffer): void {
    this.readFrom(bytes, viewOf(bytes), bytes.length);
  }

  /** Reads requests from the first bytes, and keeps what can't be read yet. */
  private readFrom(bytes: Buffer, view: DataView, end: number): void {
    this.unread = null;
    let at = 0;
    while (at < end && this.isReading) {
      const next =
        this.body === null ? this.readRequest(bytes, view, at, end) : this.readBody(bytes, at, end);
      if (next === at) break;
      at = next;
      if (this.work >= TURN_WORK) this.yieldTurn();
    }
    if (this.upgraded !== null) return this.handOver(Buffer.from(bytes.subarray(at, end)));
    if (at < end && !this.isDone) this.keepUnread(bytes, at, end);
    if (this.isPaused && this.isReading) this.resume();
  }

  /** Goes on when all others had the chance to be served. */
  private yieldTurn(): void {
    this.waitsForTurn = true;
    setImmediate(() => {
      this.waitsForTurn = false;
      this.work = 0;
      if (!this.connection.isGone) this.connection.during(() => this.goOn());
    });
  }

  private keepUnread(bytes: Buffer, at: number, end: number): void {
    const isLent = bytes === this.service.intake.bytes;
    this.unread = isLent ? Buffer.from(bytes.subarray(at, end)) : restOf(bytes, at, end);
    if (end - at > UNREAD_BYTES_MAX && !this.isPaused && !this.isReading) this.pause();
  }

  private pause(): void {
    this.isPaused = true;
    this.connection.pause();
  }

  private resume(): void {
    this.isPaused = false;
    this.connection.resume();
  }

  /** Reads on where it was stopped. */
  private goOn(): void {
    if (this.upgraded !== null) return this.handOver(this.unread ?? NO_BODY);
    if (!this.isReading) return;
    const { unread } = this;
    if (unread !== null) this.read(unread);
    else if (this.isPaused) this.resume();
    if (this.isReading && this.isLast) this.close();
  }

  /** Reads a head, and what of its body is there already; returns where that ends, or `at` when more is needed. */
  private readRequest(bytes: Buffer, view: DataView, at: number, end: number): number {
    // Some clients send an empty line after a body.
    if (bytes[at] === CR && at + 1 < end && bytes[at + 1] === LF) return at + 2;
    const { request } = this.service;
    const parsed = request.read(bytes, view, at, end);
    if (parsed === Parsed.MORE) return at;
    this.work++;
    if (parsed === Parsed.BAD) return this.refuseAll(errorReply(request.status, request.problem), end);
    this.learnManner(request);
    const length = bodyLength(request);
    if (length === UNKNOWABLE)
      return this.refuseAll(
        errorReply(400, "Content-Length, Transfer-Encoding: it is not clear where the body ends"),
        end,
      );
    if (request.has(Header.EXPECT) && request.text(Header.EXPECT)!.toLowerCase() !== "100-continue")
      return this.refuseAll(errorReply(417, "Expect: only 100-continue is understood"), end);
    const admitted = this.service.routes.admit(request, this.connection, this.isLate);
    if (!(admitted instanceof Promise)) return this.begin(request, admitted, length, request.end, end);
    const { end: bodyStart } = request;
    this.outlives(request);
    this.whenThere(admitted, (settled) => void this.begin(request, settled, length, 0, 0));
    return bodyStart;
  }

  private learnManner(request: HttpRequest): void {
    this.hasAsked = true;
    this.minorVersion = request.minorVersion;
    this.isHead = request.method === Method.HEAD;
    this.keepsAlive = staysOpen(request);
    request.isPlain = !this.isHead && this.keepsAlive && !this.isFinishing && request.minorVersion === 1;
  }

  /** Answers a request that is refused; one that is admitted is handled, now or when its body is whole. */
  private begin(
    request: HttpRequest,
    admitted: Endpoint | Reply,
    length: number,
    at: number,
    end: number,
  ): number {
    this.extraHeaders = request.extraHeaders;
    this.behind = end - at - Math.max(0, length);
    const { bytes, view } = request;
    if ("status" in admitted) return this.answerBeforeBody(request, admitted, length, at);
    const { body } = admitted;
    if (body === null) {
      this.skip(request, length);
      this.handle(request, admitted);
      return at;
    }
    if (length > body.bytesMax)
      return this.answerBeforeBody(request, tooLarge(`${length} bytes`, body), length, at);
    if (length !== CHUNKED && end - at >= length) {
      request.setBody(bytes, view, at, at + length);
      this.handle(request, admitted);
      return at + length;
    }
    if (request.has(Header.EXPECT) && request.minorVersion === 1)
      this.connection.write(CONTINUE, 0, CONTINUE.length);
    this.outlives(request);
    this.request = request;
    this.endpoint = admitted;
    this.body = new Body(length, body.bytesMax, true);
    this.bodySeen = 0;
    return at;
  }

  private answerBeforeBody(request: HttpRequest, reply: Reply, length: number, at: number): number {
    this.skip(request, length);
    this.answer(reply);
    return at;
  }

  /** The body is of no use: it will be skipped, or where it is too long, or may never come, the connection ends. */
  private skip(request: HttpRequest, length: number): void {
    if (length === 0) return;
    if (length > SKIP_BYTES_MAX || request.has(Header.EXPECT)) {
      this.keepsAlive = false;
      this.mayBeSending = true;
    } else this.body = new Body(length, SKIP_BYTES_MAX, false);
    this.bodySeen = 0;
  }

  private readBody(bytes: Buffer, at: number, end: number): number {
    const body = this.body!;
    const { request, endpoint } = this;
    const next = body.take(bytes, at, end);
    // What follows can't be found; who was answered already gets no second answer.
    if ((body.isBroken || body.isTooLong) && request === null) return this.endAll(end);
    if (body.isBroken) return this.refuseAll(errorReply(400, "body: its chunks are not valid"), end);
    if (body.isTooLong)
      return this.refuseAll(tooLarge(`more than ${endpoint!.body!.bytesMax} bytes`, endpoint!.body!), end);
    if (!body.isWhole) return next;
    this.body = this.request = this.endpoint = null;
    this.behind = end - next;
    if (request !== null) {
      request.setBody(body.data(), null, 0, body.received);
      this.handle(request, endpoint!);
    }
    return next;
  }

  private handle(request: HttpRequest, endpoint: Endpoint): void {
    request.copiedBytes = 0;
    try {
      const reply = endpoint.handle(request, this.connection);
      this.work += endpoint.extraWork + (request.copiedBytes >>> COPIED_PER_WORK_SHIFT);
      if (reply instanceof Promise) this.whenThere(reply, (settled) => this.answer(settled));
      else if (reply !== null) this.answer(reply);
      else this.answered();
    } catch (error) {
      this.answer(replyFor(error, this.service.onFault));
    }
  }

  /** Until this is there, nothing further is read. */
  private whenThere<Result>(promise: Promise<Result>, then: (result: Result) => void): void {
    this.isAnswering = true;
    const goOn = (work: () => void) => {
      this.isAnswering = false;
      if (this.isDone) return;
      this.connection.during(() => {
        work();
        this.goOn();
      });
    };
    promise.then(
      (result) => goOn(() => then(result)),
      (error) => goOn(() => this.answer(replyFor(error, this.service.onFault))),
    );
  }

  /** The request outlives this event: the next one that is read gets another object. */
  private outlives(request: HttpRequest): void {
    if (this.service.request !== request) return;
    if (request.bytes === this.service.intake.bytes) request.keep();
    this.service.request = new HttpRequest();
  }

  private answer(reply: Reply): void {
    if (this.isFinishing && !this.hasMore) this.keepsAlive = false;
    writeReply(this.connection, reply, this);
    if (reply.session !== undefined) this.upgraded = reply.session;
    this.answered();
  }

  /** The answer is written. */
  private answered(): void {
    this.looks = 0;
    // How this one was answered says nothing about what comes next, which may be no request at all.
    this.isHead = false;
    this.minorVersion = 1;
    this.extraHeaders = "";
    if (this.upgraded === null && !this.keepsAlive) this.close();
  }

  /** The connection is a WebSocket now, and this its first input. */
  private handOver(first: Buffer): void {
    this.isDone = true;
    this.unread = null;
    if (this.isPaused) this.resume();
    this.owner.upgraded(this, this.upgraded!, first);
    if (this.isLast) this.connection.stream.peerEnded();
  }

  /** Answers, and ends the connection: where the next request begins can't be known. */
  private refuse(reply: Reply): void {
    this.keepsAlive = false;
    this.mayBeSending = true;
    this.connection.during(() => this.answer(reply));
  }

  private refuseAll(reply: Reply, end: number): number {
    this.refuse(reply);
    return end;
  }

  private endAll(end: number): number {
    this.close();
    return end;
  }

  /** Ends it when all is sent: for good, or where the client may be in the middle of sending, so that it sees our answer. */
  private close(): void {
    const mayBeSending = this.mayBeSending || this.unread !== null || this.body !== null;
    this.isDone = true;
    this.unread = this.body = this.request = this.endpoint = null;
    this.looks = 0;
    // What is not taken would have the kernel reset the connection.
    if (this.isPaused) this.resume();
    if (mayBeSending) this.connection.end();
    else this.connection.close();
  }
}

/** Whether the connection stays after this request (RFC 9112, 9.3). */
function staysOpen(request: HttpRequest): boolean {
  if (!request.has(Header.CONNECTION)) return request.minorVersion === 1;
  const words = request.words(Header.CONNECTION);
  return !words.includes("close") && (request.minorVersion === 1 || words.includes("keep-alive"));
}

function tooLarge(size: string, { bytesMax, flag }: { bytesMax: number; flag: string }): Reply {
  return errorReply(413, `body: ${size}, at most ${bytesMax} are allowed (${flag})`);
}
