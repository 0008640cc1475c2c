/**
 * A JSON message, one request or an array of them, executed a slice at a time, so that a worker that was sent very many
 * still serves its other connections.
 *
 * Each answer becomes text at once. The message and its answers count for the worker's quota. An answer for which there is no
 * room is left out and BUSY stands in its place, so that answers are never held without bound.
 */
import { type ErrorKind, RequestError } from "../protocol/errors";
import type { Limits } from "../protocol/limits";
import type { Quota } from "./quota";

/** Work in a row. */
const SLICE_MS = 1;
/** A message and what it is parsed into take about so many times its length. */
const PARSED_FACTOR = 2;

/** Executes requests of one kind, one after the other. */
export interface Executor {
  /** Checks and executes one request; never throws. Null when it has to be called again with the same one. */
  answer(request: unknown): object | null;
  /** The next request is not executed, or not to its end: another answer stands in its place. */
  skip(): void;
  /** What stands in the place of an answer. */
  refuse(request: unknown, kind: ErrorKind, message: string): object;
  /** Whether its answer can be longer than the request: where there is no room, it is not executed. */
  canBeLarge(request: unknown): boolean;
  /** When a request can be executed again that has to be; null where it is only that others have their turn before. */
  readonly waitsFor: Promise<void> | null;
  /** Begins the next of these requests, from this one on, while the one before them waits. */
  beginAhead(requests: readonly unknown[], from: number): void;
  /** Whether its answer may be left out after it was executed, because it has changed nothing. */
  isRead(request: unknown): boolean;
}

export interface BatchOptions {
  readonly limits: Limits;
  readonly quota: Quota;
  /** How long the message was. */
  readonly messageBytes: number;
  /** How long all answers together may be. Infinity where they leave in pieces. */
  readonly answerBytesMax: number;
}

export class JsonBatch {
  private readonly requests: readonly unknown[];
  private readonly isArray: boolean;
  private answered = 0;
  private texts: string[] = [];
  /** Characters of answers that were not taken yet. */
  textLength = 0;
  private left: number;
  /** Taken from the quota: for the message, and for answers that wait or were taken last. */
  private readonly messageHeld: number;
  private answersHeld = 0;
  isClosed = false;

  /** @param message parsed JSON. Throws MALFORMED (413) for an array of too many requests, BUSY above the quota. */
  constructor(
    private readonly executor: Executor,
    private readonly options: BatchOptions,
    message: unknown,
  ) {
    const { limits, quota, messageBytes, answerBytesMax } = options;
    this.isArray = Array.isArray(message);
    this.requests = this.isArray ? (message as unknown[]) : [message];
    this.left = answerBytesMax;
    if (this.requests.length > limits.batchRequestsMax)
      throw new RequestError(
        "MALFORMED",
        `${this.requests.length} requests in one array, at most ${limits.batchRequestsMax} are allowed (--max-batch)`,
        413,
      );
    this.messageHeld = messageBytes * PARSED_FACTOR;
    quota.take(this.messageHeld);
  }

  /** Every request is answered. */
  get isDone(): boolean {
    return this.answered === this.requests.length;
  }

  /** What the next step has to wait for; null where it is only that others have their turn before. */
  get waitsFor(): Promise<void> | null {
    return this.executor.waitsFor;
  }

  /** Works for a slice; false when there is more to do. */
  step(): boolean {
    const until = performance.now() + SLICE_MS;
    while (!this.isDone && !this.isClosed) {
      this.answerNext();
      if (this.waitsFor !== null || performance.now() >= until) break;
    }
    return this.isDone || this.isClosed;
  }

  /** The answers since the last call: all pieces together are the whole answer, once every request has its own. */
  takeText(): string {
    const { texts } = this;
    this.texts = [];
    const isFirst = this.answered === texts.length;
    this.releaseAnswers(this.textLength);
    this.textLength = 0;
    if (!this.isArray) return texts[0]!;
    const start = isFirst ? "[" : texts.length > 0 ? "," : "";
    return `${start}${texts.join(",")}${this.isDone ? "]" : ""}`;
  }

  /** The answer has been sent, or nobody waits for it any more. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.texts = [];
    this.releaseAnswers(0);
    this.options.quota.release(this.messageHeld);
  }

  /** Answers the next request, unless it needs another call. */
  private answerNext(): void {
    const request = this.requests[this.answered];
    if (this.isTooMuch(request)) {
      this.executor.skip();
      return this.leaveOut(request);
    }
    const answer = this.executor.answer(request);
    if (answer === null) {
      if (this.waitsFor !== null) this.executor.beginAhead(this.requests, this.answered + 1);
      return;
    }
    const text = JSON.stringify(answer);
    if (this.hasRoomFor(text, request)) this.add(text);
    else this.leaveOut(request);
  }

  private isTooMuch(request: unknown): boolean {
    return (this.left <= 0 || !this.options.quota.hasRoomFor(0)) && this.executor.canBeLarge(request);
  }

  /** One answer may be as long as it is; together they may not. */
  private hasRoomFor(text: string, request: unknown): boolean {
    if (!this.executor.canBeLarge(request) || !this.executor.isRead(request)) return true;
    return (text.length <= this.left || this.answered === 0) && this.options.quota.hasRoomFor(text.length);
  }

  private add(text: string): void {
    this.answered++;
    this.left -= text.length;
    this.textLength += text.length;
    this.answersHeld += text.length;
    this.options.quota.used += text.length;
    this.texts.push(text);
  }

  private leaveOut(request: unknown): void {
    const { answerBytesMax } = this.options;
    const reason =
      this.left < answerBytesMax && answerBytesMax !== Infinity
        ? `the answer is over ${answerBytesMax} bytes (--max-message); ask for this in another request`
        : "the server holds too much for its clients (--max-buffered); try again";
    this.add(JSON.stringify(this.executor.refuse(request, "BUSY", reason)));
  }

  private releaseAnswers(left: number): void {
    this.options.quota.release(this.answersHeld - left);
    this.answersHeld = left;
  }
}
