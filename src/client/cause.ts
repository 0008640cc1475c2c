/**
 * Why a connection could not be made. Bun and the ws package tell: a status, or a system's error code. Where the WebSocket
 * does not (browsers, Deno, Node's own), the same origin is asked over HTTP: /healthz, then a path that needs the token.
 */
import { CacheError, type CacheErrorCode } from "./errors";
import type { Trouble, WebSocketClass } from "./socket";

type Cause = [code: CacheErrorCode, text: string];

interface Target {
  url: string;
  token: string | undefined;
  WebSocket: WebSocketClass;
}

const PROBE_MS = 2000;
const STATUSES: Record<number, Cause> = {
  403: ["forbidden", "this origin or host name is not allowed (--allow-origin, --allow-host)"],
  429: ["unauthorized", "too many wrong tokens were tried"],
  503: ["busy", "the server starts, stops, or has all the connections it may have"],
};
const NO_BREADBOX: Cause = ["refused", "it speaks HTTP, but refuses the WebSocket: is it a Breadbox?"];
/** A browser tells its pages no more. */
const UNKNOWN =
  "nobody listens there, its certificate is not trusted, or it does not allow pages of this origin (--allow-origin)";
/** "Expected 101 status code: 401" is Bun's, "Unexpected server response: 401" that of ws. */
const STATUS = /(?:status code|response): (\d{3})/;

export async function causeOf(target: Target, trouble: Trouble): Promise<CacheError> {
  const status = STATUS.exec(trouble.message ?? "")?.[1];
  const [code, text] =
    status !== undefined
      ? ofStatus(Number(status), target.token)
      : (ofSystem(trouble) ?? (await probe(target)));
  const { protocol, host, pathname } = new URL(target.url);
  return new CacheError(code, `no connection to ${protocol}//${host}${pathname}: ${text}`);
}

/** By the status that the upgrade, or a request in its place, was answered with. */
function ofStatus(status: number, token: string | undefined): Cause {
  if (status === 401)
    return ["unauthorized", token === undefined ? "a token is needed" : "the token is not accepted"];
  return STATUSES[status] ?? NO_BREADBOX;
}

/** By the code of Node's errors, which Bun shares; null for other errors. What is no code is said as it stands. */
export function ofSystem({ code, message }: Trouble): Cause | null {
  if (typeof code !== "string") return null;
  if (code === "ETIMEDOUT") return ["timeout", message || "no answer came"];
  if (code === "ECONNREFUSED") return ["refused", "nobody listens there"];
  if (/ENOTFOUND|EAI_AGAIN/.test(code)) return ["refused", "there is no such host"];
  if (/CERT|UNABLE_TO|HOSTNAME/.test(code)) return ["untrusted", `its certificate is not trusted: ${code}`];
  if (/EPROTO|SSL/.test(code)) return ["refused", `TLS fails, as where a server speaks none: ${code}`];
  if (code === "ECONNRESET") return ["refused", "it hung up, as servers with TLS do to ws: and http:"];
  return ["refused", code];
}

async function probe({ url, token, WebSocket }: Target): Promise<Cause> {
  const ask = async (path: string, init: RequestInit = {}) => {
    const signal = AbortSignal.timeout(PROBE_MS);
    const address = new URL(path, url.replace("ws", "http"));
    return (await fetch(address, { ...init, redirect: "manual", cache: "no-store", signal })).status;
  };
  try {
    const health = await ask("healthz");
    if (health !== 200) return ofStatus(health, token);
    // Another class may trust other certificates than fetch does; then the server that answers here must not get the token.
    const isTrusted =
      url.startsWith("ws:") || WebSocket === (globalThis as { WebSocket?: unknown }).WebSocket;
    const headers: Record<string, string> =
      token !== undefined && isTrusted ? { Authorization: `Bearer ${token}` } : {};
    const status = await ask("get", { headers });
    if (status === 401 && (token === undefined || isTrusted)) return ofStatus(status, token);
    return NO_BREADBOX;
  } catch (error) {
    // Node tells it of the cause, Bun of the error itself.
    return ofSystem((error as { cause?: Trouble }).cause ?? (error as Trouble)) ?? ["refused", UNKNOWN];
  }
}
