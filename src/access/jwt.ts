/** Signing and verifying JSON Web Tokens (RFC 7519), HS256 only. Loaded where there is a secret: the library takes its time. */
import { jwtVerify, SignJWT } from "jose";
import { JWTExpired, JWSSignatureVerificationFailed } from "jose/errors";
import { z } from "zod";
import { isFollowing } from "../commands/access";
import { VERB_NAMES } from "../commands/tally";

const ALGORITHM = "HS256";

/** What a scoped token can be given: everything but CLEAR. */
export const SCOPED_VERBS = [...VERB_NAMES]
  .filter(([name, op]) => name !== "clear" && !isFollowing(op))
  .map(([name]) => name);
const CLAIMS = z.object({
  prefix: z.string().refine((text) => text.isWellFormed()),
  allow: z.array(z.enum(SCOPED_VERBS)).min(1),
  sub: z.string().optional(),
  exp: z.number().positive(),
});

export type Claims = z.output<typeof CLAIMS>;

export interface Scope {
  prefix: string;
  /** Names of verbs, in lower case. */
  allow: readonly string[];
  /** Seconds since 1970. */
  expiresAt: number;
  subject?: string | undefined;
}

/** A token for a scope, signed with a secret of at least 32 bytes. */
export function signToken(secret: string, { prefix, allow, expiresAt, subject }: Scope): Promise<string> {
  const token = new SignJWT({ prefix, allow: [...allow] })
    .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
    .setIssuedAt()
    .setExpirationTime(expiresAt);
  if (subject !== undefined) token.setSubject(subject);
  return token.sign(Buffer.from(secret, "utf8"));
}

/** The claims of a token that one secret signed, or why there are none; "unsigned" when this secret did not sign it. */
export async function verifyToken(
  secret: Uint8Array,
  token: string,
  now: number,
): Promise<Claims | "unsigned" | "wrong" | "expired"> {
  try {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: [ALGORITHM],
      currentDate: new Date(now),
    });
    const claims = CLAIMS.safeParse(payload);
    return claims.success ? claims.data : "wrong";
  } catch (error) {
    if (error instanceof JWTExpired) return "expired";
    return error instanceof JWSSignatureVerificationFailed ? "unsigned" : "wrong";
  }
}
