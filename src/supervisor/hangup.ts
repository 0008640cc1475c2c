/** SIGHUP: the files with tokens, secrets and certificate are read again, and it is said what came of each. */
import { isatty } from "node:tty";
import {
  type CredentialPart,
  type Credentials,
  type CredentialSources,
  hasFiles,
  renewCredentials,
} from "../access/credentials";
import type { Log } from "../system/log";
import { counted } from "../system/words";

const STANDARD_STREAMS = [0, 1, 2];

export interface Hangup {
  sources: CredentialSources;
  /** Those of the start. */
  credentials: Credentials;
  log: Log;
  /** What the operator should hear about the files. */
  warn(warnings: readonly string[]): void;
  /** Resolves when every worker goes on with these. */
  renew(credentials: Credentials): Promise<void>;
}

export function onHangup({ sources, credentials, log, warn, renew }: Hangup): void {
  if (!hasFiles(sources)) return stayUnlessInTerminal(log);
  let current = credentials;
  process.on("SIGHUP", async () => {
    const { value, warnings, problems } = renewCredentials(sources, current);
    current = value;
    const renewed = renew(current);
    warn(warnings);
    for (const { message } of problems) log.error(`SIGHUP: ${message}; what was read before stays in force`);
    await renewed;
    const refused = new Set(problems.map(({ part }) => part));
    log.info(`SIGHUP: in force: ${inForce(sources, current, refused)}`);
  });
}

/** A process whose terminal is closed ends, as every process does; a service that is told to reload keeps serving. */
function stayUnlessInTerminal(log: Log): void {
  if (STANDARD_STREAMS.some((file) => isatty(file))) return;
  process.on("SIGHUP", () => log.info("SIGHUP: there is no file to read again; nothing has changed"));
}

function inForce(
  { tokenFile, tokenSecretFile, tlsCert }: CredentialSources,
  { tokens, secrets }: Credentials,
  refused: ReadonlySet<CredentialPart>,
): string {
  const parts = [
    [tokenFile, "tokens", counted(tokens.length, "token")],
    [tokenSecretFile, "secrets", counted(secrets.length, "secret")],
    [tlsCert, "tls", "the certificate"],
  ] as const;
  return parts
    .filter(([file]) => file !== undefined)
    .map(([, part, text]) => `${text} (${refused.has(part) ? "as before" : "read again"})`)
    .join(", ");
}
