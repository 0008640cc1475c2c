/** The subcommand that signs scoped tokens. It asks no server: whoever has the secret can sign. */
import { z } from "zod";
import { CredentialsError } from "../access/files";
import { SCOPED_VERBS, signToken } from "../access/jwt";
import { readSecretFile } from "../access/scoped";
import type { Command } from "./command";
import { duration } from "./duration";
import { Exit } from "./exit";
import { CommandUsageError } from "./usage";

const EXPIRES_DEFAULT = "1h";
const EXPIRES_MAX_MS = 100_000 * 86_400_000;
/** A token's expiry is in whole seconds; a bare number could be taken for anything. */
const lifetimeMs = duration(1000, EXPIRES_MAX_MS, null);

const verbs = z
  .string()
  .transform((text) => text.split(",").map((name) => name.trim().toLowerCase()))
  .pipe(z.array(z.enum(SCOPED_VERBS)));

export const token: Command = {
  summary: "sign a token for a key prefix and some verbs, until it expires",
  synopsis: "--prefix PREFIX --allow VERBS --secret-file FILE",
  examples: [
    "breadbox token --prefix user:42: --allow get,put --expires 1h --secret-file secrets",
    "breadbox token --prefix session: --allow get,put,delete,touch --sub web --secret-file secrets",
  ],
  options: {
    prefix: { value: "PREFIX", help: "every key must begin so; '' for all keys" },
    allow: {
      value: "VERBS",
      help: `comma-separated, of ${SCOPED_VERBS.join(", ")}; info and ping always are`,
      schema: verbs,
      allowed: `verbs of ${SCOPED_VERBS.join(", ")}, comma-separated`,
    },
    expires: {
      value: "TIME",
      help: `the token is good for so long: 90s, 15m, 1h, 30d (${EXPIRES_DEFAULT})`,
      schema: lifetimeMs,
      allowed: "a time such as 90s, 15m, 1h or 30d",
    },
    sub: { value: "NAME", help: "whom it is for; the server makes nothing of it" },
    "secret-file": {
      value: "FILE",
      help: "the server's --token-secret-file; its first line signs; also BREADBOX_TOKEN_SECRET_FILE",
      variables: ["BREADBOX_TOKEN_SECRET_FILE"],
    },
  },
  positionals: [0, 0],
  run: async ({ values }, terminal) => {
    for (const name of ["prefix", "allow", "secret-file"])
      if (values[name] === undefined) throw new CommandUsageError(`--${name} is needed`);
    const [secret] = secretsIn(values["secret-file"]);
    const lifetime = values.expires ?? lifetimeMs.parse(EXPIRES_DEFAULT);
    const signed = await signToken(secret!, {
      prefix: values.prefix,
      allow: values.allow,
      expiresAt: Math.floor((Date.now() + lifetime) / 1000),
      subject: values.sub,
    });
    await terminal.write(`${signed}\n`);
    return Exit.OK;
  },
};

function secretsIn(file: string): string[] {
  try {
    return readSecretFile(file);
  } catch (error) {
    if (error instanceof CredentialsError) throw new CommandUsageError(error.message);
    throw error;
  }
}
