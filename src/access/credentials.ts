/**
 * All that decides who comes in and may change while the server runs: tokens, the secrets of scoped tokens, the TLS
 * certificate. The main thread reads the files, at the start and on SIGHUP; workers get digests and never read one.
 *
 * Invariant: whether a token is asked for at all is settled at the start; no file's content can open the server.
 */
import { CredentialsError, exposureWarnings } from "./files";
import { readSecretFile } from "./scoped";
import { readTokenFile, type Token, TOKENS_MAX } from "./tokens";
import { readTlsPair, type TlsPair } from "./tls";

/** Where they come from. */
export interface CredentialSources {
  /** Given directly, by flags and variables. */
  readonly tokens: readonly Token[];
  readonly tokenFile: string | undefined;
  readonly tokenSecretFile: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

export interface Credentials {
  readonly tokens: readonly Token[];
  readonly secrets: readonly string[];
  readonly tls: TlsPair | null;
}

export type CredentialPart = keyof Credentials;

/** What was read, and what the operator should hear about it. */
interface Reading<T> {
  value: T;
  warnings: string[];
}

/** Whether everybody may do everything, because no token is configured. */
export function isOpen({ tokens, tokenFile, tokenSecretFile }: CredentialSources): boolean {
  return tokens.length === 0 && tokenFile === undefined && tokenSecretFile === undefined;
}

/** Whether there is a file that SIGHUP would read again. */
export function hasFiles({ tokenFile, tokenSecretFile, tlsCert }: CredentialSources): boolean {
  return [tokenFile, tokenSecretFile, tlsCert].some((file) => file !== undefined);
}

/** Reads everything. Throws CredentialsError. */
export function readCredentials(sources: CredentialSources): Reading<Credentials> {
  const tokens = readTokens(sources);
  const secrets = readSecrets(sources);
  const tls = readTls(sources);
  return {
    value: { tokens: tokens.value, secrets: secrets.value, tls: tls.value },
    warnings: [...tokens.warnings, ...secrets.warnings, ...tls.warnings],
  };
}

/** Reads everything again; what can't be used stays as it was, and is among the problems. */
export function renewCredentials(
  sources: CredentialSources,
  current: Credentials,
): Reading<Credentials> & { problems: { part: CredentialPart; message: string }[] } {
  const problems: { part: CredentialPart; message: string }[] = [];
  const warnings: string[] = [];
  const renew = <Part extends CredentialPart>(
    part: Part,
    read: (sources: CredentialSources) => Reading<Credentials[Part]>,
  ): Credentials[Part] => {
    try {
      const reading = read(sources);
      warnings.push(...reading.warnings);
      return reading.value;
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      problems.push({ part, message: error.message });
      return current[part];
    }
  };
  const value = {
    tokens: renew("tokens", readTokens),
    secrets: renew("secrets", readSecrets),
    tls: renew("tls", readTls),
  };
  return { value, warnings, problems };
}

function readTokens({ tokens, tokenFile }: CredentialSources): Reading<readonly Token[]> {
  const inFile = tokenFile === undefined ? [] : readTokenFile(tokenFile);
  const all = [...tokens, ...inFile];
  if (inFile.some(({ digest }) => tokens.some((token) => token.digest === digest)))
    throw new CredentialsError(`${tokenFile}: holds a token that --token or --read-token gives too`);
  if (all.length > TOKENS_MAX)
    throw new CredentialsError(
      `${tokenFile ?? "--token"}: makes ${all.length} tokens in all, at most ${TOKENS_MAX} are possible`,
    );
  return { value: all, warnings: tokenFile === undefined ? [] : exposureWarnings(tokenFile) };
}

function readSecrets({ tokenSecretFile: file }: CredentialSources): Reading<readonly string[]> {
  if (file === undefined) return { value: [], warnings: [] };
  return { value: readSecretFile(file), warnings: exposureWarnings(file) };
}

function readTls({ tlsCert, tlsKey }: CredentialSources): Reading<TlsPair | null> {
  if (tlsCert === undefined || tlsKey === undefined) return { value: null, warnings: [] };
  const { pair, warnings } = readTlsPair(tlsCert, tlsKey);
  return { value: pair, warnings };
}
