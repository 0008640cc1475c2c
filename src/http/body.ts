/** Request bodies, read whole and within the limit. */
import { RequestError } from "../protocol/errors";

/**
 * Reads a body of at most `bytesMax`; 413 above, with the flag that sets the limit. Not async: a promise for each step
 * costs more than the step.
 */
export function readBody(request: Request, bytesMax: number, flag: string): Promise<Uint8Array> {
  const announced = request.headers.get("content-length");
  if (announced === null) return readChunked(request, bytesMax, flag);
  if (Number(announced) > bytesMax) return Promise.reject(tooLarge(`${announced} bytes`, bytesMax, flag));
  return request.bytes().catch(brokenOff);
}

/** A body that does not say how long it is: piece by piece, so that it is cut off as soon as it is too long. */
async function readChunked(request: Request, bytesMax: number, flag: string): Promise<Buffer> {
  if (request.body === null) return Buffer.alloc(0);
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = request.body.getReader();
  for (
    let piece = await reader.read().catch(brokenOff);
    !piece.done;
    piece = await reader.read().catch(brokenOff)
  ) {
    pieces.push(piece.value);
    length += piece.value.length;
    if (length > bytesMax) {
      // Whatever still comes is the connection's business, not ours.
      void reader.cancel().catch(() => {});
      throw tooLarge(`more than ${bytesMax} bytes`, bytesMax, flag);
    }
  }
  return Buffer.concat(pieces);
}

/** The same bytes with a Buffer's methods. Slow for a few bytes: see scratch.ts. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A body that breaks off is the client's fault: nobody is left to answer, and there is nothing to log. */
function brokenOff(): never {
  throw new RequestError("MALFORMED", "body: ended before it was whole");
}

function tooLarge(size: string, bytesMax: number, flag: string): RequestError {
  return new RequestError("VALUE_TOO_LARGE", `body: ${size}, at most ${bytesMax} are allowed (${flag})`);
}
