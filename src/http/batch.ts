/**
 * POST /batch: an array of JSON requests, answered by an array of answers in the same order. A short answer leaves whole; a
 * long one leaves in pieces as they are made, and no faster than its client reads.
 */
import type { Access } from "../commands/access";
import { JsonCommands } from "../commands/json";
import { type Executor, JsonBatch } from "../commands/json-batch";
import { RequestError } from "../protocol/errors";
import { parseJson } from "../protocol/json";
import { withBody } from "./body";
import type { HttpContext } from "./context";
import { json, jsonStream } from "./respond";

/** So much text is gathered before a piece of the answer leaves. */
const PIECE_LENGTH = 64 * 1024;

export function handleBatch(context: HttpContext, request: Request, access: Access): Promise<Response> {
  return withBody(context, request, context.messageBody, (body) =>
    answerBatch(context, request, body, access),
  );
}

function answerBatch(
  context: HttpContext,
  request: Request,
  body: Uint8Array,
  access: Access,
): Promise<Response> {
  const { commands, onFault } = context;
  const requests = parseJson(body, "the body", commands.limits);
  if (!Array.isArray(requests)) throw new RequestError("MALFORMED", "body: must be a JSON array of requests");
  const executor = new JsonCommands(commands, access, onFault);
  return answerAll(context, request, batchOf(context, executor, requests, body.length));
}

/** @param message one request, or an array of them. Throws MALFORMED (413) for too many, BUSY above the quota. */
export function batchOf(
  { commands: { limits }, quota }: HttpContext,
  executor: Executor,
  message: unknown,
  messageBytes: number,
): JsonBatch {
  return new JsonBatch(executor, { limits, quota, messageBytes, answerBytesMax: Infinity }, message);
}

/** Executes a batch; answers as soon as there is enough for a piece, or all of it. */
export async function answerAll(context: HttpContext, request: Request, batch: JsonBatch): Promise<Response> {
  // Nobody is left to read the rest.
  request.signal.addEventListener("abort", () => batch.close());
  // One read of an HTTP/2 connection may bring very many batches; over HTTP/1.1 the first slice is answered at once.
  const first = await (context.speaksHttp2 ? nextPiece(context, batch) : firstPiece(context, batch));
  if (!batch.isDone) return jsonStream(streamOf(context, batch, first));
  batch.close();
  context.unsent.note(first.length);
  return json(first);
}

/** Works until there is enough for a piece or all is answered; other connections have their turn between the slices. */
function work(context: HttpContext, batch: JsonBatch, done: (piece: string) => void): void {
  const { commands, turns, garbage } = context;
  commands.refreshClock();
  if (!batch.step() && batch.textLength < PIECE_LENGTH) {
    const goOn = () => work(context, batch, done);
    return batch.waitsFor === null ? turns.wait(goOn) : void batch.waitsFor.then(() => turns.resume(goOn));
  }
  const piece = batch.takeText();
  garbage.note(piece.length);
  done(piece);
}

/** The answer to a single request, which is one piece. */
export async function answerOne(context: HttpContext, batch: JsonBatch): Promise<string> {
  try {
    return await firstPiece(context, batch);
  } finally {
    batch.close();
  }
}

function firstPiece(context: HttpContext, batch: JsonBatch): Promise<string> {
  return new Promise((resolve) => work(context, batch, resolve));
}

/**
 * Bun asks for piece after piece without a look at its sockets for as long as the kernel takes them: so each piece waits for
 * the next turn, even where a single answer makes one.
 */
function nextPiece(context: HttpContext, batch: JsonBatch): Promise<string> {
  return new Promise((resolve) => context.turns.wait(() => work(context, batch, resolve)));
}

/** The first piece, and those that are made when the ones before have been taken. */
function streamOf(context: HttpContext, batch: JsonBatch, first: string): ReadableStream {
  let made: string | null = first;
  const source = {
    async pull(controller: ReadableStreamDefaultController): Promise<void> {
      const piece = Buffer.from(made ?? (await nextPiece(context, batch)));
      made = null;
      if (batch.isClosed) return;
      context.traffic.sent(piece.length);
      controller.enqueue(piece);
      if (!batch.isDone) return;
      batch.close();
      controller.close();
    },
    cancel: () => batch.close(),
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}
