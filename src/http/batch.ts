/**
 * POST /batch: an array of JSON requests, answered by an array of answers in the same order. A short answer leaves whole; a
 * long one leaves in pieces as they are made, and no faster than its client reads.
 */
import type { Access } from "../commands/access";
import { JsonCommands } from "../commands/json";
import { JsonBatch } from "../commands/json-batch";
import { RequestError } from "../protocol/errors";
import { parseJson } from "../protocol/json";
import { withBody } from "./body";
import type { HttpContext } from "./context";
import { json } from "./respond";

/** So much text is gathered before a piece of the answer leaves. */
const PIECE_LENGTH = 64 * 1024;

export function handleBatch(context: HttpContext, request: Request, access: Access): Promise<Response> {
  return withBody(request, context.messageBody, context.quota, (body) => answerBatch(context, body, access));
}

async function answerBatch(context: HttpContext, body: Uint8Array, access: Access): Promise<Response> {
  const { commands, quota, onFault } = context;
  const { limits } = commands;
  const requests = parseJson(body, "the body", limits);
  if (!Array.isArray(requests)) throw new RequestError("MALFORMED", "body: must be a JSON array of requests");
  const options = { limits, quota, messageBytes: body.length, answerBytesMax: Infinity };
  const batch = new JsonBatch(new JsonCommands(commands, access, onFault), options, requests);
  const first = await nextPiece(context, batch);
  if (!batch.isDone) return json(streamOf(context, batch, first));
  batch.close();
  return json(first);
}

/** Works until there is enough for a piece or all is answered; others have their turn between the slices. */
function nextPiece({ commands, turns }: HttpContext, batch: JsonBatch): Promise<string> {
  return new Promise((resolve) => {
    const work = () => {
      commands.refreshClock();
      if (!batch.step() && batch.textLength < PIECE_LENGTH) turns.wait(work);
      else resolve(batch.takeText());
    };
    work();
  });
}

/** The first piece, and those that are made when the ones before have been taken. */
function streamOf(context: HttpContext, batch: JsonBatch, first: string): ReadableStream {
  let made: string | null = first;
  const source = {
    async pull(controller: ReadableStreamDefaultController): Promise<void> {
      const piece = made ?? (await nextPiece(context, batch));
      made = null;
      if (batch.isClosed) return;
      controller.enqueue(Buffer.from(piece));
      if (!batch.isDone) return;
      batch.close();
      controller.close();
    },
    cancel: () => batch.close(),
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}
