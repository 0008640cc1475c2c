/** One request as its handler gets it: the head, who asks, and the whole body. */
import { isUtf8 } from "node:buffer";
import { type Access, NOBODY } from "../commands/access";
import { RequestError } from "../protocol/errors";
import { RequestHead } from "./message/head";
import { NO_BODY } from "./message/reply";

export class HttpRequest extends RequestHead {
  access: Access = NOBODY;
  /** The body is body[bodyStart, bodyEnd). */
  body: Buffer = NO_BODY;
  bodyStart = 0;
  bodyEnd = 0;
  /** A view of the body's bytes; null until somebody needs one. */
  bodyView: DataView | null = null;
  /** Nothing about how it is answered is unusual: with a body, no header of its own, and the connection stays. */
  isPlain = true;
  /** Of a value, to answer this: work that the turn counts. */
  copiedBytes = 0;
  /** Header lines that its answer has beside the usual ones. */
  extraHeaders = "";

  setBody(bytes: Buffer, view: DataView | null, start: number, end: number): void {
    this.body = bytes;
    this.bodyView = view;
    this.bodyStart = start;
    this.bodyEnd = end;
  }

  /** Path and query; MALFORMED where their bytes are no text. */
  targetText(): string {
    if (!isUtf8(this.bytes.subarray(this.targetStart, this.targetEnd)))
      throw new RequestError("MALFORMED", "key: is not valid UTF-8");
    return this.target;
  }

  /** The body's bytes. */
  bodyBytes(): Buffer {
    return this.body.subarray(this.bodyStart, this.bodyEnd);
  }
}
