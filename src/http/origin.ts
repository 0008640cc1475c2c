/**
 * Browser origins (RFC 6454) and what pages of other ones may see (CORS, as in the Fetch standard). The server's own pages
 * and those on the list may use it; a request of any other page is refused, and nothing tells that page why.
 *
 * A page's Origin comes with what its scripts ask for. A script, an image or a frame that it only shows brings none, but
 * browsers say with Sec-Fetch-Site (W3C Fetch Metadata) whether the page is of another site.
 */
import { headersWith } from "./respond";

export const ORIGIN_MESSAGE = "Origin: this page's origin is not allowed (--allow-origin)";

/** Whose page asks: the server's own, one on the list, or neither. */
export type Standing = "own" | "listed" | "stranger";

const DEFAULT_PORT = { http: ":80", https: ":443" } as const;

/** What a page may send and read beyond what every page may. */
const ALLOWED_HEADERS = [
  ...["Authorization", "Content-Type", "If-Match", "If-None-Match", "X-TTL"],
  ...["Upstash-Encoding", "Upstash-Sync-Token", "Upstash-Telemetry-Runtime", "Upstash-Telemetry-Platform"],
  ...["Upstash-Telemetry-Sdk", "Upstash-Telemetry-Retry"],
].join(", ");
const EXPOSED_HEADERS = "ETag, Lease, Retry-After, Upstash-Sync-Token, WWW-Authenticate, X-TTL";
/** Seconds that a browser may remember a preflight's answer; more than two hours none does. */
const PREFLIGHT_MAX_AGE_S = "7200";

export class Origins {
  private readonly listed: ReadonlySet<string>;

  constructor(
    listed: readonly string[],
    /** With TLS, a page that came without it does not count as the server's own: anybody on the network may have written it. */
    private readonly hasTls: boolean,
  ) {
    this.listed = new Set(listed.map(canonical));
  }

  /** Nobody's pages are let in but the server's own. */
  get isEmpty(): boolean {
    return this.listed.size === 0;
  }

  get listsAll(): boolean {
    return this.listed.has("*");
  }

  /** Whether the page that a request is for, if there is one, may use the server. */
  admits(headers: Headers): boolean {
    const origin = headers.get("origin");
    if (origin !== null) return this.standingOf(origin, headers.get("host")) !== "stranger";
    const site = headers.get("sec-fetch-site");
    return site === null || site === "same-origin" || site === "none" || this.listsAll;
  }

  standingOf(origin: string, host: string | null): Standing {
    if (this.isOwn(origin, host)) return "own";
    return this.listsAll || this.listed.has(canonical(origin)) ? "listed" : "stranger";
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

/** Whether a person follows a link: the answer is shown by itself, in no frame, and no page reads it. */
export function isNavigation(headers: Headers): boolean {
  return (
    headers.get("sec-fetch-mode") === "navigate" &&
    headers.get("sec-fetch-dest") === "document" &&
    !headers.has("origin")
  );
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

/**
 * Adds to an answer what it says to pages of listed origins. It depends on the Origin then, whoever asks, which a cache in
 * between has to know.
 */
export function share(response: Response, request: Request, origins: Origins): Response {
  const { headers } = response;
  headers.append("Vary", "Origin");
  const origin = request.headers.get("origin");
  const isListed = origin !== null && origins.standingOf(origin, request.headers.get("host")) === "listed";
  if (isListed) {
    headers.set("Access-Control-Allow-Origin", origin);
    headers.set("Access-Control-Expose-Headers", EXPOSED_HEADERS);
  }
  if (isListed || origins.listsAll) headers.set("Cross-Origin-Resource-Policy", "cross-origin");
  return response;
}

/** Whether this asks on behalf of a page what it may do (CORS preflight). */
export function isPreflight(request: Request): boolean {
  return request.method === "OPTIONS" && request.headers.has("access-control-request-method");
}

/** The answer to a preflight for a path with these methods; `share` adds the origin. */
export function preflightResponse(methods: readonly string[]): Response {
  return new Response(null, {
    status: 204,
    headers: headersWith({
      "Access-Control-Allow-Methods": methods.join(", "),
      "Access-Control-Allow-Headers": ALLOWED_HEADERS,
      "Access-Control-Max-Age": PREFLIGHT_MAX_AGE_S,
    }),
  });
}
