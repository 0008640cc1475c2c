/**
 * Request bodies, read whole, within the limit of their kind and the worker's quota. A body counts from the moment when its
 * head is there: many that are sent slowly hold no more together than --max-buffered.
 */
import type { Quota } from "../commands/quota";
import { RequestError } from "../protocol/errors";

export interface BodyLimit {
  readonly bytesMax: number;
  /** The flag that sets it. */
  readonly flag: string;
}

const DISCARD_BYTES_MAX = 64 << 20;

type Use = (body: Uint8Array) => Response | Promise<Response>;

/**
 * Reads a body and answers with what `use` makes of it. Not async: each promise costs more than a step.
 * Rejects with VALUE_TOO_LARGE (413) above the limit, BUSY above the quota, MALFORMED when the body ends early.
 */
export function withBody(request: Request, limit: BodyLimit, quota: Quota, use: Use): Promise<Response> {
  const announced = request.headers.get("content-length");
  if (announced === null) return readChunked(request, limit, quota).then(use);
  const length = Number(announced);
  if (length > limit.bytesMax) throw tooLarge(`${announced} bytes`, limit);
  quota.take(length);
  return request.bytes().then(
    (body) => {
      quota.release(length);
      return use(body);
    },
    () => {
      quota.release(length);
      throw brokenOff();
    },
  );
}

/** A body that does not say how long it is: piece by piece, so that it is cut off as soon as it is too long. */
async function readChunked(request: Request, limit: BodyLimit, quota: Quota): Promise<Buffer> {
  if (request.body === null) return Buffer.alloc(0);
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = request.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => {
        throw brokenOff();
      });
      if (done) return Buffer.concat(pieces, length);
      quota.take(value.length);
      length += value.length;
      pieces.push(value);
      if (length > limit.bytesMax) throw tooLarge(`more than ${limit.bytesMax} bytes`, limit);
    }
  } finally {
    quota.release(length);
    reader.releaseLock();
  }
}

/**
 * Reads what is left of a body and throws it away. Over HTTP/2 Bun resets the stream of a request that is answered before
 * its body has come in, and some clients (curl) then take nothing of the answer. Longer bodies than DISCARD_BYTES_MAX are
 * not waited for.
 */
export async function discardBody(request: Request): Promise<void> {
  // A client that asks first (Expect) sends no body after this answer.
  if (request.headers.has("expect") || request.body === null || request.body.locked) return;
  const reader = request.body.getReader();
  try {
    for (let length = 0; length < DISCARD_BYTES_MAX;) {
      const { done, value } = await reader.read();
      if (done) return;
      length += value.length;
    }
    await reader.cancel();
  } catch {
    // The client has gone: there is nobody to answer.
  }
}

/** The same bytes with a Buffer's methods. Slow for a few bytes: see scratch.ts. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A body that ends early is the client's fault, and the client has gone: there is nobody to answer and nothing to log. */
function brokenOff(): RequestError {
  return new RequestError("MALFORMED", "body: ended before it was whole");
}

function tooLarge(size: string, { bytesMax, flag }: BodyLimit): RequestError {
  return new RequestError("VALUE_TOO_LARGE", `body: ${size}, at most ${bytesMax} are allowed (${flag})`);
}
