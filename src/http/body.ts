/** Request bodies, read whole and within the limit. */
import { RequestError } from "../protocol/errors";

/** Reads a body of at most `bytesMax`; 413 above, with the flag that sets the limit. */
export async function readBody(request: Request, bytesMax: number, flag: string): Promise<Buffer> {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > bytesMax) throw tooLarge(announced, bytesMax, flag);
  const bytes = await request.bytes();
  if (bytes.length > bytesMax) throw tooLarge(bytes.length, bytesMax, flag);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function tooLarge(bytes: number, bytesMax: number, flag: string): RequestError {
  return new RequestError(
    "VALUE_TOO_LARGE",
    `body: ${bytes} bytes, at most ${bytesMax} are allowed (${flag})`,
  );
}
