/** Certificates for tests, signed by themselves, made by the openssl command: node can read certificates but makes none. */
import { readFileSync } from "node:fs";
import { temporaryPath } from "./temporary";

export interface Certificate {
  certFile: string;
  keyFile: string;
  cert: string;
}

/** Runs openssl; throws with what it said. */
export async function openssl(...args: string[]): Promise<string> {
  if (Bun.which("openssl") === null)
    throw new Error("the tests of TLS need the openssl command (Debian: apt-get install openssl)");
  const child = Bun.spawn(["openssl", ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
  return stdout;
}

/** A certificate for localhost and 127.0.0.1 under this common name, good from one date to another (YYYYMMDDHHMMSSZ). */
export async function makeCertificate(
  name: string,
  dates?: { from: string; to: string },
): Promise<Certificate> {
  const certFile = temporaryPath(`${name}.crt`);
  const keyFile = temporaryPath(`${name}.key`);
  const requestFile = temporaryPath(`${name}.csr`);
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  if (dates === undefined) await openssl("req", "-x509", ...key, "-out", certFile, "-days", "2", ...subject);
  else {
    await openssl("req", ...key, "-out", requestFile, ...subject);
    const index = temporaryPath(`${name}.index`);
    const config = temporaryPath(`${name}.cnf`);
    await Bun.write(index, "");
    await Bun.write(
      config,
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${index}\nnew_certs_dir=${temporaryPath("")}\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n`,
    );
    await openssl(
      ...["ca", "-batch", "-selfsign", "-notext", "-config", config, "-keyfile", keyFile],
      ...["-in", requestFile, "-out", certFile, "-startdate", dates.from, "-enddate", dates.to],
    );
  }
  return { certFile, keyFile, cert: readFileSync(certFile, "utf8") };
}
