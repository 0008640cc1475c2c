/** What the server does without: open files, memory. It says so plainly, and goes on where it can. */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { thisMachine } from "../../src/system/machine";
import { request } from "../support/frames";
import { testThatNeeds } from "../support/needs";
import { runServer, startServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const FILES_MAX = 400;
const PING = request({ op: 10, value: Buffer.from("on") });
const GET = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** An HTTP connection that asks once and stays open; resolves when it is answered. */
function askAndStay(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write(GET);
  return new Promise((resolve) => socket.once("data", () => resolve(socket)));
}

test("more HTTP connections than open files: those without a request are closed, and everyone is answered", async () => {
  const server = await startServer({ shell: `ulimit -n ${FILES_MAX}` });
  const client = await WireClient.connect(server.ws);
  const sockets: Socket[] = [];
  // Each is answered, so none of them waits for ever for a file.
  for (let round = 0; round < 6; round++) {
    sockets.push(...(await Promise.all(Array.from({ length: 150 }, () => askAndStay(server.port)))));
    expect(await client.ask(PING)).toEqual([{ status: "VALUE", value: Buffer.from("on") }]);
  }
  expect(server.log().match(/nearly all of the 400 open files/g)).toHaveLength(1);
  expect(server.log()).toContain("ulimit -n");
  for (const socket of sockets) socket.destroy();
  // Free again: nothing is closed that does not have to be.
  expect((await fetch(`${server.http}/healthz`)).status).toBe(200);
  client.close();
  expect(await server.stop()).toBe(0);
});

testThatNeeds(
  thisMachine().memoryBytes < 8 * 2 ** 30 ? ["8 GB of memory"] : [],
  "memory that can't be had: one line that names the flag, and exit code 71",
  async () => {
    const { code, stderr } = await runServer(["--port", "0", "--memory", "60%"], {}, "ulimit -v 4000000");
    expect(stderr).toMatch(/^breadbox: \d+ MiB of memory can't be had: Out of memory; see --memory\n$/);
    expect(code).toBe(71);
  },
);
