/**
 * Plain tokens. Only their SHA-256 is kept, so nothing that is logged, dumped or sent to a thread holds one. A token that
 * comes in is compared with all of them in constant time: how long that takes says neither which exist nor how near it was.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type Access, fullAccess, readAccess } from "../commands/access";
import { CredentialsError, problemAt, readLines } from "./files";

export const TOKEN_PATTERN = /^[\x21-\x7e]{1,512}$/;
export const TOKEN_FORM = "1 to 512 visible ASCII characters without spaces";
/** Each is compared with each token that comes in. */
export const TOKENS_MAX = 256;

export type Right = "all" | "read";

export interface Token {
  /** SHA-256, hex. */
  readonly digest: string;
  readonly right: Right;
}

export function tokenOf(text: string, right: Right): Token {
  return { digest: digestOf(text).toString("hex"), right };
}

/**
 * Reads a token file: `all TOKEN`, `read TOKEN`, or just a token for all, a line; empty lines and those that begin with # say nothing.
 * @throws CredentialsError
 */
export function readTokenFile(file: string): Token[] {
  const lines = readLines(file);
  if (lines.length === 0) throw new CredentialsError(`${file}: holds no token`);
  const seen = new Map<string, number>();
  return lines.map((line) => {
    const words = line.text.split(/\s+/);
    const [right, text] = words.length === 1 ? ["all", words[0]!] : words;
    if ((right !== "all" && right !== "read") || text === undefined || words.length > 2)
      throw problemAt(file, line, "must be `all TOKEN`, `read TOKEN`, or a token alone, which may do all");
    if (words.length === 1 && (text === "all" || text === "read"))
      throw problemAt(file, line, `"${text}" needs a token behind it`);
    if (!TOKEN_PATTERN.test(text)) throw problemAt(file, line, `the token is not ${TOKEN_FORM}`);
    const token = tokenOf(text, right);
    const earlier = seen.get(token.digest);
    if (earlier !== undefined) throw problemAt(file, line, `the token is the one of line ${earlier}`);
    seen.set(token.digest, line.number);
    return token;
  });
}

/** The tokens in force, ready to compare. */
export class TokenList {
  private readonly grants: readonly { digest: Buffer; access: Access }[];

  constructor(tokens: readonly Token[]) {
    this.grants = tokens.map(({ digest, right }) => ({
      digest: Buffer.from(digest, "hex"),
      access: right === "all" ? fullAccess(digest) : readAccess(digest),
    }));
  }

  /** What the token of this SHA-256 may do; null when it is none of these. */
  find(digest: Buffer): Access | null {
    let found: Access | null = null;
    for (const grant of this.grants) if (timingSafeEqual(digest, grant.digest)) found = grant.access;
    return found;
  }

  /** Whether an access of before would be granted again. */
  stillGrants(access: Access): boolean {
    return this.grants.some(
      (grant) => grant.access.grantedBy === access.grantedBy && grant.access.verbs === access.verbs,
    );
  }
}

export function digestOf(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}
