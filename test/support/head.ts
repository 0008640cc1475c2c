/** A request's head, read from its text. */
import { Parsed, RequestHead, viewOf } from "../../src/http/message/head";

/** @param fields header lines, without their ends */
export function headWith(...fields: string[]): RequestHead {
  const bytes = Buffer.from(["GET / HTTP/1.0", ...fields, "", ""].join("\r\n"), "latin1");
  const head = new RequestHead();
  if (head.read(bytes, viewOf(bytes), 0, bytes.length) !== Parsed.WHOLE) throw new Error(head.problem);
  return head;
}
