/** Certificate and key for TLS, checked before anybody listens with them: what is wrong is said in our words. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { CredentialsError, exposureWarnings, readText } from "./files";

export interface TlsPair {
  /** PEM: the certificate, and those that link it to an authority, if any. */
  readonly cert: string;
  /** PEM, not encrypted. */
  readonly key: string;
}

/** Reads both files and sees that they belong together. Throws CredentialsError. */
export function readTlsPair(certFile: string, keyFile: string): { pair: TlsPair; warnings: string[] } {
  const pair = { cert: readText(certFile), key: readText(keyFile) };
  const certificate = certificateIn(pair.cert, certFile);
  if (!certificate.checkPrivateKey(keyIn(pair.key, keyFile)))
    throw new CredentialsError(`${keyFile}: is not the key of the certificate in ${certFile}`);
  return { pair, warnings: [...validityWarnings(certificate, certFile), ...exposureWarnings(keyFile)] };
}

function certificateIn(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new CredentialsError(`${file}: holds no certificate in PEM form`);
  }
}

function keyIn(pem: string, file: string): KeyObject {
  if (pem.includes("ENCRYPTED"))
    throw new CredentialsError(`${file}: the key is encrypted; decrypt it first`);
  try {
    return createPrivateKey(pem);
  } catch {
    throw new CredentialsError(`${file}: holds no private key in PEM form`);
  }
}

function validityWarnings({ validFrom, validTo }: X509Certificate, file: string): string[] {
  const now = Date.now();
  if (Date.parse(validTo) < now)
    return [`${file}: the certificate expired on ${validTo}; clients will refuse it`];
  if (Date.parse(validFrom) > now)
    return [`${file}: the certificate is not valid before ${validFrom}; clients will refuse it`];
  return [];
}
