/**
 * Scoped tokens: JSON Web Tokens (RFC 7519) that hold their bearer to a key prefix and some verbs until they expire.
 * HS256 only, with secrets that the operator shares with whoever signs. Verifying is asynchronous, so that what was
 * verified once is remembered by its SHA-256: only a token's first request has to wait.
 */
import { type Access, verbsOf } from "../commands/access";
import { VERB_NAMES } from "../commands/tally";
import { Op } from "../protocol/wire";
import type { Claims } from "./jwt";
import { CredentialsError, problemAt, readLines } from "./files";
import { digestOf } from "./tokens";

const SECRET_BYTES_MIN = 32;
/** Each is tried with a token that the ones before it did not sign. */
const SECRETS_MAX = 16;
/** Verified tokens that a worker remembers; the one not used for longest is forgotten. */
export const VERIFIED_MAX = 1024;

/** What every one may: PING names no key, INFO only those of its prefix. */
const ALWAYS: readonly Op[] = [Op.INFO, Op.PING];

/** Why a token gives no access. */
export type Refusal = "missing" | "wrong" | "expired";

/**
 * Reads a secret file: one secret a line, the first signs, any verifies; empty lines and those that begin with # say nothing.
 * @throws CredentialsError
 */
export function readSecretFile(file: string): string[] {
  const lines = readLines(file);
  if (lines.length === 0) throw new CredentialsError(`${file}: holds no secret`);
  if (lines.length > SECRETS_MAX)
    throw new CredentialsError(`${file}: holds ${lines.length} secrets, at most ${SECRETS_MAX} are possible`);
  return lines.map((line) => {
    const bytes = Buffer.byteLength(line.text, "utf8");
    if (bytes < SECRET_BYTES_MIN)
      throw problemAt(
        file,
        line,
        `the secret has ${bytes} bytes, at least ${SECRET_BYTES_MIN} are needed: openssl rand -hex 32 makes one`,
      );
    return line.text;
  });
}

/** The secrets in force, and the tokens that they were found to have signed. */
export class ScopedTokens {
  private readonly secrets: readonly { bytes: Buffer; digest: string }[];
  /** By the token's SHA-256 (hex), in the order of last use. */
  private readonly verified = new Map<string, Access>();

  constructor(
    secrets: readonly string[],
    private readonly now: () => number = Date.now,
  ) {
    this.secrets = secrets.map((secret) => ({
      bytes: Buffer.from(secret, "utf8"),
      digest: digestOf(secret).toString("hex"),
    }));
    // Loaded before it is needed, where it will be; a failure shows again then.
    if (secrets.length > 0) void import("./jwt").catch(() => {});
  }

  /** What a token gives; a promise only where it has to be verified first. */
  accessOf(token: string, digest: Buffer): Access | Refusal | Promise<Access | Refusal> {
    // Anything else is no signed token: three parts with a dot between.
    if (this.secrets.length === 0 || token.split(".", 4).length !== 3) return "wrong";
    const id = digest.toString("hex");
    const known = this.verified.get(id);
    if (known === undefined) return this.verify(token, id);
    this.remember(id, known);
    return known.expiresAt > this.now() ? known : "expired";
  }

  /** Whether the secret that signed for an access is still in force. */
  stillGrants(access: Access): boolean {
    return this.secrets.some(({ digest }) => digest === access.grantedBy);
  }

  private async verify(token: string, id: string): Promise<Access | Refusal> {
    const { verifyToken } = await import("./jwt");
    for (const secret of this.secrets) {
      const claims = await verifyToken(secret.bytes, token, this.now());
      if (claims === "unsigned") continue;
      if (typeof claims === "string") return claims;
      const access = accessFor(claims, secret.digest);
      this.remember(id, access);
      return access;
    }
    return "wrong";
  }

  private remember(id: string, access: Access): void {
    this.verified.delete(id);
    this.verified.set(id, access);
    if (this.verified.size <= VERIFIED_MAX) return;
    const [oldest] = this.verified.keys();
    this.verified.delete(oldest!);
  }
}

function accessFor({ prefix, allow, exp }: Claims, grantedBy: string): Access {
  const verbs = verbsOf([...ALWAYS, ...allow.map((name) => VERB_NAMES.get(name)!)]);
  const names = [...VERB_NAMES].filter(([, op]) => (verbs >> op) & 1).map(([name]) => name.toUpperCase());
  return {
    verbs,
    prefix: Buffer.from(prefix, "utf8"),
    expiresAt: exp * 1000,
    grantedBy,
    refusal: `this token may only do ${names.join(", ")}`,
  };
}
