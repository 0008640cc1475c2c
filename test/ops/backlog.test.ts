/** The queue of new connections, as the kernel shows it: Bun's own would be 512. */
import { expect } from "bun:test";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer } from "../support/server";

testThatNeeds(missingCommands("ss"), "every worker's listener has the --backlog", async () => {
  const server = await startServer({ flags: ["--backlog", "700", "--workers", "3"] });
  const { stdout } = Bun.spawnSync(["ss", "-Hltn", `sport = :${server.port}`]);
  const queues = stdout
    .toString()
    .trim()
    .split("\n")
    .map((line) => line.split(/ +/)[2]);
  expect(queues).toEqual(["700", "700", "700"]);
  expect(await server.stop()).toBe(0);
});
