/** Answers as bytes: the status line, the headers that every answer has, and the body. */
import type { Connection } from "../../net/connection";
import { PIECE_BYTES_MAX } from "../../net/outbox";
import type { Reply } from "./reply";

const REASONS: Record<number, string> = {
  101: "Switching Protocols",
  200: "OK",
  204: "No Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  412: "Precondition Failed",
  413: "Content Too Large",
  417: "Expectation Failed",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};
const MS_PER_SECOND = 1000;
const ZERO = 0x30;

/** How an answer differs from most. */
export interface Manner {
  /** The head alone is wanted. */
  readonly isHead: boolean;
  /** The connection stays. */
  readonly keepsAlive: boolean;
  /** The request's version, HTTP/1.x: 1.0 has to be told that the connection stays. */
  readonly minorVersion: number;
  /** Further header lines. */
  readonly extraHeaders: string;
}

let second = 0;
let dateText = "";

/** Date as HTTP writes it (RFC 9110, 5.6.7), made once a second. */
function date(): string {
  const now = Math.floor(Date.now() / MS_PER_SECOND);
  if (now !== second) {
    second = now;
    dateText = new Date(now * MS_PER_SECOND).toUTCString();
  }
  return dateText;
}

/** Writes any answer. Within an event of the connection. */
export function writeReply(connection: Connection, reply: Reply, manner: Manner): void {
  const { body } = reply;
  const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  const head = headText(reply, length, manner);
  const outbox = connection.room(head.length);
  outbox.length += outbox.bytes.write(head, outbox.length, "latin1");
  if (manner.isHead || length === 0) return;
  if (typeof body !== "string") return connection.write(body, 0, length);
  if (length > PIECE_BYTES_MAX) return connection.write(Buffer.from(body), 0, length);
  const { bytes } = connection.room(length);
  outbox.length += bytes.write(body, outbox.length, "utf8");
}

function headText({ status, headers }: Reply, length: number, manner: Manner): string {
  const hasLength = status >= 200 && status !== 204 && status !== 304;
  return (
    `HTTP/1.1 ${status} ${REASONS[status]}\r\n${headers}${manner.extraHeaders}${connectionLine(status, manner)}` +
    `Date: ${date()}\r\n${hasLength ? `Content-Length: ${length}\r\n` : ""}\r\n`
  );
}

/** What is said of the connection, where it is not what the version means anyway. */
function connectionLine(status: number, { keepsAlive, minorVersion }: Manner): string {
  if (status === 101) return "";
  if (!keepsAlive) return "Connection: close\r\n";
  return minorVersion === 0 ? "Connection: keep-alive\r\n" : "";
}

/** The beginning of an answer that is given again and again, as bytes that are made anew once a second. */
export class PreparedHead {
  private readonly before: string;
  private bytes: Buffer = Buffer.alloc(0);
  private date = "";

  /**
   * @param status with its reason, and @param headers lines with their CR LF
   * @param after what stands behind the date's line
   */
  constructor(
    status: number,
    headers: string,
    private readonly after: string,
  ) {
    this.before = `HTTP/1.1 ${status} ${REASONS[status]}\r\n${headers}Date: `;
  }

  /** The bytes, as of now. */
  current(): Buffer {
    const now = date();
    if (now !== this.date) {
      this.date = now;
      this.bytes = Buffer.from(`${this.before}${now}\r\n${this.after}`);
    }
    return this.bytes;
  }
}

/** Writes a whole number below 2^53 in decimal; returns where it ends. */
export function writeDecimal(bytes: Buffer, at: number, value: number): number {
  let end = at + 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end++;
  for (let rest = value, i = end - 1; i >= at; i--) {
    const next = Math.floor(rest / 10);
    bytes[i] = ZERO + rest - next * 10;
    rest = next;
  }
  return end;
}
