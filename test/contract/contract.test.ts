/** Every case through every transport that can express it, against real server processes with two workers. */
import { makeCertificate } from "../support/certificate";
import { runContract } from "./run";
import { TLS_TRANSPORTS, TRANSPORTS } from "./transports";

runContract("without TLS", async () => ["--http2"], TRANSPORTS);

runContract(
  "with TLS",
  async () => {
    const { certFile, keyFile } = await makeCertificate("contract");
    return ["--tls-cert", certFile, "--tls-key", keyFile, "--http2", "--http3"];
  },
  TLS_TRANSPORTS,
);
