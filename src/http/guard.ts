/**
 * What the bearer of a request's token may do. Plain tokens are answered at once, and so are scoped ones that were
 * verified before; only a scoped token's first request gets a promise. No token is ever part of a message or a log line.
 */
import { type Access, ANYBODY } from "../commands/access";
import type { Credentials } from "../access/credentials";
import { type Refusal, ScopedTokens } from "../access/scoped";
import { digestOf, TokenList } from "../access/tokens";
import { SUBPROTOCOL, SUBPROTOCOL_BEARER } from "../protocol/wire";

export type Verdict = Access | Refusal;

export class Guard {
  private tokens!: TokenList;
  private scoped!: ScopedTokens;

  constructor(
    /** No token is asked for. */
    readonly isOpen: boolean,
    credentials: Credentials,
  ) {
    this.renew(credentials);
  }

  /** Requests from now on are judged by these. */
  renew({ tokens, secrets }: Credentials): void {
    this.tokens = new TokenList(tokens);
    this.scoped = new ScopedTokens(secrets);
  }

  /**
   * What the bearer of an Authorization header may do. Looks at the request only where there is a token to ask for.
   * @param elsewhere finds the token of a request whose headers have none
   */
  verdictOn(headers: Headers, elsewhere?: () => string | null): Verdict | Promise<Verdict> {
    if (this.isOpen) return ANYBODY;
    const token = tokenIn(headers.get("authorization") ?? "") ?? elsewhere?.() ?? null;
    return token === null ? "missing" : this.verdictOnToken(token);
  }

  /**
   * The same for a WebSocket's upgrade: the header, or where it holds no bearer, the `bearer.` subprotocol. That comes before a password,
   * which may be for a proxy on the way.
   */
  verdictOnUpgrade(headers: Headers, offered: readonly string[]): Verdict | Promise<Verdict> {
    if (this.isOpen) return ANYBODY;
    const bearer = offered.find((protocol) => protocol.startsWith(SUBPROTOCOL_BEARER));
    if (bearer === undefined || /^Bearer /i.test(headers.get("authorization") ?? ""))
      return this.verdictOn(headers);
    const encoded = bearer.slice(SUBPROTOCOL_BEARER.length);
    if (!/^[A-Za-z0-9_-]+$/.test(encoded)) return "wrong";
    return this.verdictOnToken(Buffer.from(encoded, "base64url").toString("utf8"));
  }

  /** Whether an access of before would still be given. */
  stillGrants(access: Access): boolean {
    return this.isOpen || this.tokens.stillGrants(access) || this.scoped.stillGrants(access);
  }

  private verdictOnToken(token: string): Verdict | Promise<Verdict> {
    const digest = digestOf(token);
    const verdict = this.tokens.find(digest) ?? this.scoped.accessOf(token, digest);
    return verdict instanceof Promise ? verdict.then((late) => this.asOfNow(late)) : verdict;
  }

  /** While a token was being verified, its secret may have been withdrawn. */
  private asOfNow(verdict: Verdict): Verdict {
    return typeof verdict === "string" || this.stillGrants(verdict) ? verdict : "wrong";
  }
}

/**
 * The token of an Authorization header: that of Bearer (RFC 6750), or the password of Basic (RFC 7617), whose user name says nothing.
 * Null where there is none, also where the password is empty: `https://name@host/` sends that.
 */
function tokenIn(authorization: string): string | null {
  const [, bearer, basic] = /^(?:Bearer +(\S+)|Basic +([A-Za-z0-9+/]+={0,2})) *$/i.exec(authorization) ?? [];
  if (bearer !== undefined) return bearer;
  if (basic === undefined) return null;
  const [, password] = /^[^:]*:(.+)$/s.exec(Buffer.from(basic, "base64").toString("utf8")) ?? [];
  return password ?? null;
}

/** Whether an upgrade that offers these subprotocols can be served: v1 by name, or none named but a bearer. */
export function subprotocolFor(offered: readonly string[]): "select" | "none" | "refuse" {
  if (offered.includes(SUBPROTOCOL)) return "select";
  return offered.every((protocol) => protocol.startsWith(SUBPROTOCOL_BEARER)) ? "none" : "refuse";
}

/** The names in a Sec-WebSocket-Protocol header. */
export function offeredSubprotocols(header: string | null): string[] {
  return (header ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}
