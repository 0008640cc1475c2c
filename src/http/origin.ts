/**
 * Browser origins (RFC 6454) and what pages of other ones may see (CORS, as in the Fetch standard). The server's own pages
 * and those on the list may use it; a request of any other page is refused, and nothing tells that page why.
 */

import { Header } from "./message/header-names";
import { Method, type RequestHead } from "./message/head";
import { empty, type Reply } from "./message/reply";

/** Whose page asks: the server's own, one on the list, or neither. */
export type Standing = "own" | "listed" | "stranger";

const DEFAULT_PORT = { http: ":80", https: ":443" } as const;

/** What a page may send and read beyond what every page may. */
const ALLOWED_HEADERS = "Authorization, Content-Type, If-Match, If-None-Match";
const EXPOSED_HEADERS = "ETag, Retry-After, WWW-Authenticate";
/** Seconds that a browser may remember a preflight's answer; more than two hours none does. */
const PREFLIGHT_MAX_AGE_S = "7200";

export class Origins {
  private readonly listed: ReadonlySet<string>;

  constructor(
    listed: readonly string[],
    /** Then a page that came without TLS is no page of ours: anybody on its way may have written it. */
    private readonly hasTls: boolean,
  ) {
    this.listed = new Set(listed.map(canonical));
  }

  standingOf(origin: string, host: string | null): Standing {
    if (this.isOwn(origin, host)) return "own";
    return this.listed.has("*") || this.listed.has(canonical(origin)) ? "listed" : "stranger";
  }

  /** Scheme, host and port are ours. Without TLS here https is ours too: a proxy before us may speak it. */
  private isOwn(origin: string, host: string | null): boolean {
    const [, scheme, authority] = /^(https?):\/\/([^/]+)$/i.exec(origin) ?? [];
    if (scheme === undefined || host === null) return false;
    const name = scheme.toLowerCase() as keyof typeof DEFAULT_PORT;
    if (this.hasTls && name !== "https") return false;
    return withoutPort(authority!, DEFAULT_PORT[name]) === withoutPort(host, DEFAULT_PORT[name]);
  }
}

/** As browsers write it: lower case, without its scheme's default port. */
function canonical(origin: string): string {
  const [, scheme, authority] = /^(https?):\/\/(.+)$/i.exec(origin) ?? [];
  if (scheme === undefined) return origin.toLowerCase();
  const name = scheme.toLowerCase() as keyof typeof DEFAULT_PORT;
  return `${name}://${withoutPort(authority!, DEFAULT_PORT[name])}`;
}

function withoutPort(authority: string, port: string): string {
  const lower = authority.toLowerCase();
  return lower.endsWith(port) ? lower.slice(0, -port.length) : lower;
}

/** Header lines that let the page of a listed origin read the answer. */
export function sharing(origin: string): string {
  return (
    `Access-Control-Allow-Origin: ${origin}\r\nAccess-Control-Expose-Headers: ${EXPOSED_HEADERS}\r\n` +
    "Vary: Origin\r\n"
  );
}

/** Whether this asks on behalf of a page what it may do (CORS preflight). */
export function isPreflight(request: RequestHead): boolean {
  return request.method === Method.OPTIONS && request.has(Header.ACCESS_CONTROL_REQUEST_METHOD);
}

/** The answer to a preflight for a path with these methods; `sharing` adds the origin. */
export function preflightReply(methods: readonly string[]): Reply {
  return empty(
    204,
    `Access-Control-Allow-Methods: ${methods.join(", ")}\r\n` +
      `Access-Control-Allow-Headers: ${ALLOWED_HEADERS}\r\nAccess-Control-Max-Age: ${PREFLIGHT_MAX_AGE_S}\r\n`,
  );
}
