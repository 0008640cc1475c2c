/** Scoped tokens signed apart from the server's own code: RFC 7519 by node's HMAC, so that anything can be signed. */
import { createHmac } from "node:crypto";

export const SECRET = "a secret for tests, of more than 32 bytes";

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token with any header and claims. */
export function jsonWebToken(
  claims: Record<string, unknown>,
  { secret = SECRET, header = {} as Record<string, unknown>, hash = "sha256" } = {},
): string {
  const signed = `${part({ alg: "HS256", typ: "JWT", ...header })}.${part(claims)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}

/** A token as `breadbox token` would sign it. */
export function scopedToken(prefix: string, allow: string[], seconds = 3600, secret = SECRET): string {
  return jsonWebToken({ prefix, allow, exp: Math.floor(Date.now() / 1000) + seconds }, { secret });
}
