/** The contract through a server that stands before a cluster: every transport, every case, the same answers. */
import { startCluster, type Cluster } from "../support/cluster";
import { runContract } from "./run";
import { TRANSPORTS } from "./transports";

let cluster: Cluster | null = null;

runContract(
  "before a cluster",
  async () => {
    cluster = await startCluster({ replicas: 0 });
    return ["--http2", "--origin", cluster.url, "--origin-timeout", "5s"];
  },
  TRANSPORTS,
  async () => cluster?.stop(),
);
