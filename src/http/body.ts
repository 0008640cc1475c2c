/** Request bodies, read whole and within the limit. */
import { RequestError } from "../protocol/errors";

/** Reads a body of at most `bytesMax`; 413 above, with the flag that sets the limit. */
export async function readBody(request: Request, bytesMax: number, flag: string): Promise<Buffer> {
  const announced = request.headers.get("content-length");
  if (announced === null) return readChunked(request, bytesMax, flag);
  if (Number(announced) > bytesMax) throw tooLarge(`${announced} bytes`, bytesMax, flag);
  const bytes = await unbroken(request.bytes());
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A body that does not say how long it is: piece by piece, so that it is cut off as soon as it is too long. */
async function readChunked(request: Request, bytesMax: number, flag: string): Promise<Buffer> {
  if (request.body === null) return Buffer.alloc(0);
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = request.body.getReader();
  for (let piece = await unbroken(reader.read()); !piece.done; piece = await unbroken(reader.read())) {
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

/** A body that breaks off is the client's fault: nobody is left to answer, and there is nothing to log. */
async function unbroken<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch {
    throw new RequestError("MALFORMED", "body: ended before it was whole");
  }
}

function tooLarge(size: string, bytesMax: number, flag: string): RequestError {
  return new RequestError("VALUE_TOO_LARGE", `body: ${size}, at most ${bytesMax} are allowed (${flag})`);
}
