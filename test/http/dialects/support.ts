/** A server with tokens of every kind, and calls as a client of a dialect makes them. */
import { expect } from "bun:test";
import { scopedToken, SECRET } from "../../support/scoped";
import { startServer, type TestServer } from "../../support/server";
import { temporaryFile } from "../../support/temporary";

export const ALL = "all-token";
export const READ = "read-token";

export interface Call extends RequestInit {
  /** Sent as Bearer; ALL where it is absent, none where it is null. */
  token?: string | null;
  headers?: Record<string, string>;
}

export type Caller = (path: string, call?: Call) => Promise<Response>;

export interface DialectServer {
  readonly server: TestServer;
  readonly call: Caller;
}

/** Small limits, so that tests reach them. */
export async function startDialects(flags: string[] = []): Promise<DialectServer> {
  const server = await startServer({
    flags: [
      ...["--token", ALL, "--read-token", READ, "--auth-failures", "1000"],
      ...["--token-secret-file", temporaryFile(`secrets-${crypto.randomUUID()}`, SECRET)],
      ...["--max-value", "100kb", "--max-message", "200kb", "--max-key", "200", "--max-batch", "600"],
      ...["--allow-origin", "https://ok.example", ...flags],
    ],
  });
  const call: Caller = (path, { token = ALL, headers = {}, ...init } = {}) =>
    fetch(server.http + path, {
      ...init,
      headers: { ...(token !== null && { Authorization: `Bearer ${token}` }), ...headers },
    });
  return { server, call };
}

export const scoped = scopedToken;

/** Every value is answered with these. */
export function expectSafe({ headers }: Response): void {
  expect([headers.get("x-content-type-options"), headers.get("content-security-policy")]).toEqual([
    "nosniff",
    "sandbox; default-src 'none'",
  ]);
}
