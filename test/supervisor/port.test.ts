/** Two servers on one port: exactly one of them serves, however near to each other they start, and the other says so. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { claimPort, type PortClaim, PortError } from "../../src/supervisor/port";
import { testThatNeeds } from "../support/needs";
import { runServer, startServer, type TestServer } from "../support/server";
import { runThread } from "../support/thread";
import { SlowPut } from "../support/slow-put";

const HOST = "127.0.0.1";
const PAIRS = 5;
const ROUNDS = 100;
const LINUX = process.platform === "linux" ? [] : ["Linux"];

const inUse = (port: number, host = HOST) =>
  `${host}:${port} is already in use; stop the other server or choose another --port`;

async function aFreePort(): Promise<number> {
  const claim = await claimPort(HOST, 0);
  claim.release();
  return claim.port;
}

/** What came of a claim: null, or what the user is told. */
async function problemOf(host: string, port: number): Promise<string | null> {
  try {
    (await claimPort(host, port)).release();
    return null;
  } catch (error) {
    if (error instanceof PortError) return error.message;
    throw error;
  }
}

function listen(port: number, options: { reusePort?: boolean }) {
  return Bun.listen({ hostname: HOST, port, ...options, socket: { data() {} } });
}

describe("two servers on one port", () => {
  testThatNeeds(LINUX, `started together, ${PAIRS} times: one serves, the other ends with 71`, async () => {
    for (let pair = 0; pair < PAIRS; pair++) {
      const port = await aFreePort();
      const flags = ["--port", String(port), "--workers", "1", "--memory", "16mb"];
      const outcomes = await Promise.allSettled([startServer({ flags }), startServer({ flags })]);
      const serving = outcomes.filter((outcome) => outcome.status === "fulfilled");
      const refused = outcomes.filter((outcome) => outcome.status === "rejected");
      expect([serving.length, refused.length]).toEqual([1, 1]);
      expect(String(refused[0]!.reason)).toEndWith(`:\nbreadbox: ${inUse(port)}\n`);
      expect(await serving[0]!.value.stop()).toBe(0);
    }
  });

  testThatNeeds(LINUX, "the second one is refused on every address that overlaps", async () => {
    const first = await startServer({ flags: ["--workers", "1", "--memory", "16mb"] });
    for (const host of [HOST, "0.0.0.0", "::"]) {
      const { code, stderr } = await runServer(["--host", host, "--port", String(first.port)]);
      expect({ code, stderr }).toEqual({ code: 71, stderr: `breadbox: ${inUse(first.port, host)}\n` });
    }
    expect((await fetch(`${first.http}/healthz`)).status).toBe(200);
    expect(await first.stop()).toBe(0);
  });

  test("a killed server leaves nothing behind: the next one serves at once", async () => {
    const first = await startServer({ flags: ["--workers", "1", "--memory", "16mb"] });
    // Connections that the server has closed leave the port in TIME_WAIT.
    expect((await fetch(`${first.http}/healthz`, { headers: { connection: "close" } })).status).toBe(200);
    first.process.kill("SIGKILL");
    await first.process.exited;
    const second = await startServer({
      flags: ["--port", String(first.port), "--workers", "1", "--memory", "16mb"],
    });
    expect(await second.stop()).toBe(0);
  });

  test("while one drains, the next one may start", async () => {
    const first = await startServer({ flags: ["--workers", "1", "--memory", "16mb"] });
    const put = await SlowPut.begin(first);
    const code = first.stop();
    await first.logged("SIGTERM");
    await refusesConnections(first);
    const second = await startServer({
      flags: ["--port", String(first.port), "--workers", "1", "--memory", "16mb"],
    });
    expect(await put.complete()).toStartWith("HTTP/1.1 204 ");
    expect([await code, await second.stop()]).toEqual([0, 0]);
  });
});

describe("the claim", () => {
  testThatNeeds(LINUX, `two threads, ${ROUNDS} times in the same instant: one has it`, async () => {
    const port = await aFreePort();
    const memory = new SharedArrayBuffer(4 * Int32Array.BYTES_PER_ELEMENT);
    const claims = await Promise.all([0, 1].map(() => claimRounds({ memory, port, rounds: ROUNDS })));
    expect(claims[0]! + claims[1]!).toBe(ROUNDS);
  });

  testThatNeeds(LINUX, "keeps others out as long as it is held, also while nobody listens", async () => {
    const claim = await claimPort(HOST, 0);
    expect(() => listen(claim.port, {})).toThrow("Failed to listen");
    for (const host of [HOST, "0.0.0.0", "::"])
      expect(await problemOf(host, claim.port)).toBe(inUse(claim.port, host));
    expect(await problemOf("127.0.0.2", claim.port)).toBeNull();
    const worker = listen(claim.port, { reusePort: true });
    expect(await problemOf(HOST, claim.port)).toBe(inUse(claim.port));
    worker.stop(true);
    claim.release();
    expect(await problemOf(HOST, claim.port)).toBeNull();
  });

  test("finds another program on the port, whatever that shares", async () => {
    for (const reusePort of [false, true]) {
      const other = listen(0, { reusePort });
      expect(await problemOf(HOST, other.port)).toBe(inUse(other.port));
      other.stop(true);
      expect(await problemOf(HOST, other.port)).toBeNull();
    }
  });

  test("port 0 becomes one that nobody has", async () => {
    const claims: PortClaim[] = [];
    for (let i = 0; i < 20; i++) claims.push(await claimPort(HOST, 0));
    expect(new Set(claims.map(({ port }) => port)).size).toBe(claims.length);
    for (const { release } of claims) release();
  });
});

/** In a thread of its own; resolves with how often it got the port. */
function claimRounds(order: { memory: SharedArrayBuffer; port: number; rounds: number }): Promise<number> {
  return runThread(new URL("./port-thread.ts", import.meta.url), order);
}

/** Resolves when nobody listens any more. */
async function refusesConnections({ port }: TestServer): Promise<void> {
  const refused = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, HOST, () => {
        socket.destroy();
        resolve(false);
      });
      socket.on("error", () => resolve(true));
    });
  while (!(await refused()));
}
