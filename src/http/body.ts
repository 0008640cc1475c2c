/**
 * Request bodies, read whole, within the limit of their kind and the worker's quota. A body counts from the moment when its
 * head is there: many that are sent slowly hold no more together than --max-buffered.
 */
import type { Quota } from "../commands/quota";
import type { Traffic } from "../commands/traffic";
import { RequestError } from "../protocol/errors";

/** What bodies count for. */
export interface BodyContext {
  readonly quota: Quota;
  readonly traffic: Traffic;
}

export interface BodyLimit {
  readonly bytesMax: number;
  /** The flag that sets it. */
  readonly flag: string;
  /** How long each mebibyte may take, or what there is of one; null where Bun's idle timeout ends slow bodies. */
  readonly msPerMebibyte: number | null;
}

const MEBIBYTE = 1 << 20;
/** Longer bodies of requests that were refused are not waited for. */
const DISCARD_BYTES_MAX = 64 * MEBIBYTE;

type Use = (body: Uint8Array) => Response | Promise<Response>;

/**
 * Reads a body and answers with what `use` makes of it. Not async: each promise costs more than a step.
 * Rejects with VALUE_TOO_LARGE (413) above the limit, BUSY above the quota, MALFORMED when the body ends early or (408) is too slow.
 */
export function withBody(
  context: BodyContext,
  request: Request,
  limit: BodyLimit,
  use: Use,
): Promise<Response> {
  const { quota, traffic } = context;
  const announced = request.headers.get("content-length");
  if (announced === null) return readChunked(context, request, limit).then(use);
  const length = Number(announced);
  if (length > limit.bytesMax) throw tooLarge(`${announced} bytes`, limit);
  quota.take(length);
  return within(timeFor(length, limit), request.bytes()).then(
    (body) => {
      quota.release(length);
      traffic.received(body.length);
      return use(body);
    },
    (error) => {
      quota.release(length);
      throw bodyError(error);
    },
  );
}

/** A body that does not say how long it is: piece by piece, so that it is cut off as soon as it is too long. */
async function readChunked(
  { quota, traffic }: BodyContext,
  request: Request,
  limit: BodyLimit,
): Promise<Buffer> {
  if (request.body === null) return Buffer.alloc(0);
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = request.body.getReader();
  const start = performance.now();
  try {
    for (;;) {
      const time = timeFor(length, limit);
      const { done, value } = await within(
        time === null ? null : time - (performance.now() - start),
        reader.read(),
      );
      if (done) return Buffer.concat(pieces, length);
      traffic.received(value.length);
      quota.take(value.length);
      length += value.length;
      pieces.push(value);
      if (length > limit.bytesMax) throw tooLarge(`more than ${limit.bytesMax} bytes`, limit);
    }
  } catch (error) {
    throw bodyError(error);
  } finally {
    quota.release(length);
    reader.releaseLock();
  }
}

/** How long a body of so many bytes may take; null for as long as Bun lets it. */
function timeFor(bytes: number, { msPerMebibyte }: BodyLimit): number | null {
  return msPerMebibyte === null ? null : msPerMebibyte * (1 + bytes / MEBIBYTE);
}

/** The same promise, which rejects where it takes longer. */
function within<Result>(ms: number | null, promise: Promise<Result>): Promise<Result> {
  if (ms === null) return promise;
  const late = Promise.withResolvers<Result>();
  const timer = setTimeout(() => late.reject(tooSlow()), ms);
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}

/**
 * Reads what is left of a body and throws it away. Over HTTP/2 Bun resets the stream of a request that is answered before
 * its body has come in, and some clients (curl) then take nothing of the answer.
 */
export async function discardBody(request: Request, { msPerMebibyte }: BodyLimit): Promise<void> {
  // A client that asks first (Expect) sends no body after this answer.
  if (request.headers.has("expect") || request.body === null || request.body.locked) return;
  const reader = request.body.getReader();
  const discard = async () => {
    for (let length = 0; length < DISCARD_BYTES_MAX;) {
      const { done, value } = await reader.read();
      if (done) return;
      length += value.length;
    }
  };
  try {
    await within(msPerMebibyte, discard());
  } catch {
    // The client has gone, or sends too slowly to be waited for.
  }
  void reader.cancel().catch(() => {});
}

/** The same bytes with a Buffer's methods. Slow for a few bytes: see scratch.ts. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A body that ends early is the client's fault, and the client has gone: there is nobody to answer and nothing to log. */
function bodyError(error: unknown): RequestError {
  return error instanceof RequestError
    ? error
    : new RequestError("MALFORMED", "body: ended before it was whole");
}

function tooSlow(): RequestError {
  return new RequestError("MALFORMED", "body: did not come in whole in time (--client-timeout)", 408);
}

function tooLarge(size: string, { bytesMax, flag }: BodyLimit): RequestError {
  return new RequestError("VALUE_TOO_LARGE", `body: ${size}, at most ${bytesMax} are allowed (${flag})`);
}
