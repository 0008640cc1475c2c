/** An origin that cannot be used, on real servers: what is said of it, and that it is used again as soon as it can be. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Engine } from "../../src/origin/engine";
import { FaultKind, finalError, OriginError } from "../../src/origin/faults";
import { Outcome } from "../../src/store/shard";
import { makeCertificate } from "../support/certificate";
import { type Engine as Server, freePorts, startEngine, until } from "../support/engine";
import { openOrigin, reaches } from "../support/origin";

const SECRET = "p4ss-w0rd/@";
const key = Buffer.from("k");
const payload = Buffer.from("v");

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function server(options: Parameters<typeof startEngine>[0] = {}): Promise<Server> {
  const started = await startEngine(options);
  ends.push(() => started.kill());
  return started;
}

async function opened(url: string, options: Parameters<typeof openOrigin>[1] = {}) {
  const result = await openOrigin(url, options);
  ends.push(() => result.origin.close());
  return result;
}

const failureOf = async (call: Promise<unknown>) => {
  const error = (await call.catch((failed: unknown) => failed)) as OriginError;
  expect(error).toBeInstanceOf(OriginError);
  expect(error.message).not.toContain(SECRET);
  return error;
};

/** The origin is down, says so once, with this reason, and so does every call. */
async function isDown(origin: Engine, lines: string[], reason: string): Promise<void> {
  const state = await until("it is down", () => {
    const now = origin.state();
    return now.status === "down" && now.reason!.includes(reason) && now;
  });
  await until("it is in the log", () => lines.some((line) => line.includes(reason)));
  const error = await failureOf(origin.get(key));
  expect([error.kind, error.mayHaveHappened]).toEqual(["BUSY", false]);
  expect(error.message).toContain(reason);
  expect(JSON.stringify([state, lines])).not.toContain(SECRET);
  expect(lines.filter((line) => line.includes(reason))).toHaveLength(1);
}

describe("signing in", () => {
  const encoded = encodeURIComponent(SECRET);

  test("with the right password", async () => {
    const { port } = await server({ password: SECRET });
    const { origin, lines } = await opened(`redis://:${encoded}@127.0.0.1:${port}`);
    await reaches(origin, "connected");
    expect(lines).toEqual(["info  origin: connected to 1 master"]);
    expect((await origin.put(key, { payload })).outcome).toBe(Outcome.DONE);
  });

  const WRONG: [string, string, string][] = [
    ["a wrong password", `:wrong${encoded}@`, "refuses the user or the password"],
    ["an unknown user", `nobody:${encoded}@`, "refuses the user or the password"],
    ["none", "", "asks for a password"],
  ];
  for (const [name, user, reason] of WRONG)
    test(name, async () => {
      const { port } = await server({ password: SECRET });
      const { origin, lines } = await opened(`redis://${user}127.0.0.1:${port}`);
      await isDown(origin, lines, reason);
    });

  test("a password where none is asked for", async () => {
    const { port } = await server();
    const { origin, lines } = await opened(`redis://:${encoded}@127.0.0.1:${port}`);
    await isDown(origin, lines, "leave the user and the password out");
  });

  test("a user that lacks a right is told so", async () => {
    const started = await server();
    await started.command("ACL", "SETUSER", "app", "on", `>${SECRET}`, "~bb:*", "+@all", "-unlink");
    const { origin } = await opened(`redis://app:${encoded}@127.0.0.1:${started.port}`);
    await reaches(origin, "connected");
    const { version } = await origin.put(key, { payload });
    for (const call of [origin.delete(key), origin.delete(key, version)])
      expect((await failureOf(call)).message).toContain("does not permit the user");
    await started.command("ACL", "SETUSER", "app", "-script|load");
    await started.command("CLIENT", "KILL", "USER", "app");
    await until(
      "the reason is told",
      () => origin.state().reason?.includes("does not permit the user") ?? false,
    );
  });
});

describe("TLS", () => {
  test("with a certificate that is trusted, and one that is not", async () => {
    const tls = await makeCertificate("origin");
    const started = await server({ tls });
    const { origin } = await opened(started.url, { ca: tls.cert });
    await reaches(origin, "connected");
    await origin.put(key, { payload });
    expect((await origin.get(key))!.payload).toEqual(payload);
    const stranger = await opened(started.url);
    await isDown(stranger.origin, stranger.lines, "cannot be connected");
  });

  test("a server without it", async () => {
    const { port } = await server();
    const { origin } = await opened(`rediss://127.0.0.1:${port}`);
    await until("it is down", () => origin.state().nodes.every(({ circuit }) => circuit !== "closed"));
    expect((await failureOf(origin.get(key))).kind).toBe("BUSY");
  });
});

describe("what is no origin", () => {
  test("several single servers", async () => {
    const [first, second] = [await server(), await server()];
    const { origin, lines } = await opened(`${first.url},${second.address}`);
    await isDown(origin, lines, "the servers that are named are no cluster");
  });

  test("a node of a cluster without slots", async () => {
    const started = await server({ flags: ["--cluster-enabled", "yes"] });
    const { origin, lines } = await opened(started.url);
    await isDown(origin, lines, "a node of a cluster without slots");
  });

  test("a name that nobody knows", async () => {
    const { origin, lines } = await opened("redis://no-such-host.invalid");
    await isDown(origin, lines, "has a name that");
  });

  test("a read-only replica takes no writes, and says what to do", async () => {
    const master = await server();
    const replica = await server({ flags: ["--replicaof", "127.0.0.1", String(master.port)] });
    await until("it is in step", async () => (await replica.info("master_link_status")) === "up");
    const { origin } = await opened(replica.url);
    await reaches(origin, "connected");
    expect(await origin.get(key)).toBe(null);
    expect((await failureOf(origin.put(key, { payload }))).message).toContain("name its master in --origin");
    expect((await failureOf(origin.delete(key))).message).toContain("name its master in --origin");
  });

  test("a full server refuses what needs memory and gives what it has", async () => {
    const started = await server();
    const { origin } = await opened(started.url);
    await reaches(origin, "connected");
    await origin.put(key, { payload });
    await started.command("CONFIG", "SET", "maxmemory", "1");
    for (const call of [
      origin.put(key, { payload }),
      origin.add(Buffer.from("n"), 1n),
      origin.append(key, payload, 100),
    ])
      expect((await failureOf(call)).message).toContain("is out of memory");
    expect((await origin.get(key))!.payload).toEqual(payload);
    expect(await origin.delete(key)).toBe(Outcome.DONE);
  });
});

describe("a single server", () => {
  test("that is not there at the start, comes, goes, and comes back", async () => {
    const started = await server();
    await started.kill();
    const { origin, lines } = await opened(started.url);
    await isDown(origin, lines, "nothing listens there");
    await started.start();
    await reaches(origin, "connected");
    const { version } = await origin.put(key, { payload });
    await started.kill();
    await reaches(origin, "down");
    await started.start();
    await reaches(origin, "connected");
    expect(await origin.get(key)).toBe(null);
    expect((await origin.put(key, { payload })).version).toBeGreaterThan(version);
    expect(lines.map((line) => line.split(":")[1]!.trim())).toEqual([
      "down",
      "connected to 1 master",
      "down",
      "connected to 1 master",
    ]);
    origin.invariants();
  });

  test("calls that begin before it is connected wait for that", async () => {
    const { url } = await server();
    const { origin } = await opened(url);
    expect((await origin.put(key, { payload })).outcome).toBe(Outcome.DONE);
    expect((await origin.get(key))!.payload).toEqual(payload);
  });

  test("nothing at all on the port: calls fail, at once when that is known", async () => {
    const [port] = await freePorts(1);
    const { origin } = await opened(`redis://127.0.0.1:${port}`);
    const first = await failureOf(origin.put(key, { payload }));
    expect(first.mayHaveHappened).toBe(false);
    await until("the circuit is open", () => origin.state().nodes[0]!.circuit !== "closed");
    const second = await failureOf(origin.get(key));
    expect(second.failure).toBe("unreachable");
  });

  test("that stands still: deadlines hold, the circuit opens, then nothing waits; afterwards all is well", async () => {
    const started = await server();
    const { origin, lines } = await opened(started.url, { timeoutMs: 200 });
    await reaches(origin, "connected");
    await origin.add(key, 1n);
    await started.freeze();
    const failures: string[] = [];
    let maybe = 0;
    await until("the circuit is open", async () => {
      const error = await failureOf(origin.add(key, 1n));
      failures.push(error.failure);
      if (error.mayHaveHappened) maybe++;
      return error.failure === "circuit";
    });
    expect(failures.slice(0, -1).every((failure) => failure === "timeout")).toBe(true);
    expect(failures.length).toBeGreaterThan(3);
    expect(origin.state()).toMatchObject({
      status: "down",
      reason: expect.stringContaining("does not answer"),
    });
    // No call was sent meanwhile, but those that may have happened will.
    started.thaw();
    await reaches(origin, "connected");
    const { number } = await origin.add(key, 1n);
    expect(number).toBe(BigInt(2 + maybe));
    expect(lines).toHaveLength(3);
    origin.invariants();
  });

  test("FLUSHALL: nothing is there, and versions go on above the old ones", async () => {
    const started = await server();
    const { origin } = await opened(started.url);
    await reaches(origin, "connected");
    const { version } = await origin.put(key, { payload });
    await started.command("FLUSHALL");
    expect(await origin.get(key)).toBe(null);
    expect((await origin.put(key, { payload })).version).toBeGreaterThan(version);
  });

  test("connections that are killed under load: no sum is given twice, none is counted twice", async () => {
    const started = await server();
    const { origin } = await opened(started.url);
    await reaches(origin, "connected");
    const sums = new Set<bigint>();
    let maybe = 0;
    let isOver = false;
    const adder = async () => {
      while (!isOver) {
        try {
          const { number } = await origin.add(key, 1n);
          expect(sums.has(number)).toBe(false);
          sums.add(number);
        } catch (error) {
          if (!(error instanceof OriginError)) throw error;
          if (error.mayHaveHappened) maybe++;
          // Other tests' work goes on meanwhile, and so does the reconnecting.
          await Bun.sleep(1);
        }
      }
    };
    const adders = Array.from({ length: 8 }, adder);
    for (let kills = 0; kills < 10; kills++) {
      const before = sums.size;
      await until("sums come", () => sums.size > before + 50);
      await started.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    }
    isOver = true;
    await Promise.all(adders);
    await reaches(origin, "connected");
    const { number } = await origin.add(key, 0n);
    expect(number).toBeGreaterThanOrEqual(BigInt(sums.size));
    expect(number).toBeLessThanOrEqual(BigInt(sums.size + maybe));
    expect(maybe).toBeGreaterThan(0);
    origin.invariants();
  });
});

test("the client library is loaded when the first origin is opened, and not before", () => {
  const script = `
    await import("./src/config/config.ts");
    const { Engine } = await import("./src/origin/engine.ts");
    const { parseAddress } = await import("./src/origin/address.ts");
    const isLoaded = () => Object.keys(require.cache).some((path) => path.includes("iovalkey"));
    const before = isLoaded();
    const log = { error() {}, warn() {}, info() {}, debug() {} };
    const origin = await Engine.open({ address: parseAddress("redis://127.0.0.1:1"), namespace: "bb", timeoutMs: 10, log });
    console.log(before, isLoaded());
    await origin.close();`;
  const root = new URL("../../", import.meta.url).pathname;
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script], { cwd: root });
  expect([stdout.toString(), stderr.toString()]).toEqual(["false true\n", ""]);
});

test("a key that holds no string is BAD_KEY, after which a connection stays, and 409 over HTTP", () => {
  const fault = { kind: FaultKind.FINAL, code: "WRONGTYPE", slot: -1, endpoint: null };
  expect(finalError(fault, { host: "a", port: 1 })).toMatchObject({ kind: "BAD_KEY", http: 409 });
});
