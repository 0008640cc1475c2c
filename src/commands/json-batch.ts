/**
 * A JSON message under way: one request or an array of them, executed a slice at a time, so that a worker that was sent
 * very many still serves its other connections. Each answer becomes text at once; when all together are longer than a
 * message may be, requests whose answers can be large are left out, so nobody holds an answer without bound.
 */
import { RequestError } from "../protocol/errors";
import { errorAnswer } from "../protocol/json";
import type { Limits } from "../protocol/limits";
import type { JsonCommands } from "./json";

/** Work in a row. */
const SLICE_MS = 1;
/** Ops whose answers can be longer than their requests. */
const LARGE_ANSWERS: ReadonlySet<unknown> = new Set(["get", "scan", "stats"]);

export class JsonBatch {
  private readonly requests: readonly unknown[];
  private readonly isArray: boolean;
  private readonly answers: string[] = [];
  private left: number;

  /** @param message parsed JSON. Throws MALFORMED (413) for an array of too many requests. */
  constructor(
    private readonly json: JsonCommands,
    private readonly limits: Limits,
    message: unknown,
  ) {
    this.isArray = Array.isArray(message);
    this.requests = this.isArray ? (message as unknown[]) : [message];
    this.left = limits.messageBytesMax;
    if (this.requests.length > limits.batchRequestsMax)
      throw new RequestError(
        "MALFORMED",
        `${this.requests.length} requests in one array, at most ${limits.batchRequestsMax} are allowed (--max-batch)`,
        413,
      );
  }

  /** A message that can't be executed: its answer is the error. */
  static refused(json: JsonCommands, limits: Limits, error: RequestError): JsonBatch {
    const batch = new JsonBatch(json, limits, null);
    batch.answers.push(JSON.stringify(errorAnswer(error.kind, error.message)));
    return batch;
  }

  /** Works for a slice; true when every request is answered. */
  step(): boolean {
    const until = performance.now() + SLICE_MS;
    do {
      if (this.answers.length === this.requests.length) return true;
      this.answerNext();
    } while (performance.now() < until);
    return this.answers.length === this.requests.length;
  }

  /** The whole answer, once every request has its own. */
  text(): string {
    return this.isArray ? `[${this.answers.join(",")}]` : this.answers[0]!;
  }

  /** Answers the next request, unless it needs another call. */
  private answerNext(): void {
    const request = this.requests[this.answers.length];
    const answer = this.isTooMuch(request)
      ? errorAnswer(
          "BUSY",
          `the answer is over ${this.limits.messageBytesMax} bytes (--max-message); ask for this in another request`,
        )
      : this.json.answer(request);
    if (answer === null) return;
    const text = JSON.stringify(answer);
    this.left -= text.length;
    this.answers.push(text);
  }

  private isTooMuch(request: unknown): boolean {
    return this.left <= 0 && LARGE_ANSWERS.has((request as { op?: unknown } | null)?.op);
  }
}
