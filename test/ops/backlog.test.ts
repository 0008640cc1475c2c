/** The queue of new connections, as the kernel shows it: Bun's own would be 512. */
import { expect } from "bun:test";
import { cpSync } from "node:fs";
import { makeCertificate } from "../support/certificate";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer } from "../support/server";
import { temporaryPath } from "../support/temporary";

/** Of every listener on the port. */
function backlogs(port: number): string[] {
  const { stdout } = Bun.spawnSync(["ss", "-Hltn", `sport = :${port}`]);
  const lines = stdout.toString().trim().split("\n");
  return lines.map((line) => line.split(/ +/)[2]!);
}

testThatNeeds(missingCommands("ss"), "every worker's listener has the --backlog", async () => {
  const server = await startServer({ flags: ["--backlog", "700", "--workers", "3"] });
  expect(backlogs(server.port)).toEqual(["700", "700", "700"]);
  expect(await server.stop()).toBe(0);
});

testThatNeeds(missingCommands("ss", "openssl"), "and so has one that takes a new certificate", async () => {
  const [certFile, keyFile] = [temporaryPath("server.crt"), temporaryPath("server.key")];
  const install = async (name: string) => {
    const certificate = await makeCertificate(name);
    cpSync(certificate.certFile, certFile);
    cpSync(certificate.keyFile, keyFile);
  };
  await install("first");
  const flags = ["--backlog", "700", "--workers", "2", "--tls-cert", certFile, "--tls-key", keyFile];
  const server = await startServer({ flags });
  await install("second");
  await server.renew();
  const listening = backlogs(server.port);
  expect(listening.length).toBeGreaterThanOrEqual(2);
  expect(new Set(listening)).toEqual(new Set(["700"]));
  expect(await server.stop()).toBe(0);
});
