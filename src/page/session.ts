/**
 * What the page asks the server with: one connection, and requests over HTTP where a value's Content-Type matters. The token is
 * held here and nowhere else: no storage, no cookie, no URL.
 */
import { type Cache, CacheError, connect } from "../client/client";
import { type Access, Rights } from "./rights";

/** What GET / says to programs. */
export interface About {
  readonly version: string;
  readonly needsToken: boolean;
}

/** The token is missing, wrong or no longer good. */
export class TokenRefused extends Error {}

export class Session {
  private constructor(
    readonly cache: Cache,
    readonly rights: Rights,
    private readonly token: string | null,
  ) {}

  /** @throws TokenRefused; an Error that says why there is no connection */
  static async open(token: string | null): Promise<Session> {
    const response = await fetch("/access", { headers: authorization(token) });
    if (response.status === 401 || response.status === 429) throw new TokenRefused(await problemIn(response));
    if (!response.ok) throw new Error(await problemIn(response));
    const rights = new Rights((await response.json()) as Access);
    const cache = await connect(location.origin, token === null ? {} : { token }).catch((error: unknown) => {
      if (error instanceof CacheError && error.code === "unauthorized") throw new TokenRefused(error.message);
      throw error;
    });
    return new Session(cache, rights, token);
  }

  get hasToken(): boolean {
    return this.token !== null;
  }

  /** A request with the token. @throws an Error with the server's own words; 404 is an answer */
  async http(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
    const headers = { ...init.headers, ...authorization(this.token) };
    const response = await fetch(path, { ...init, headers });
    if (!response.ok && response.status !== 404 && response.status !== 412)
      throw new Error(await problemIn(response));
    return response;
  }
}

export async function askAbout(): Promise<About> {
  const response = await fetch("/", { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(await problemIn(response));
  return (await response.json()) as About;
}

function authorization(token: string | null): Record<string, string> {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** The message of an error, as every error of the server has it; what is in between may answer in other forms. */
async function problemIn(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return `the answer was ${response.status} ${response.statusText}`;
  }
}
