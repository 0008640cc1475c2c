/**
 * Clients that do not read. What they ask for is neither dropped nor piled up: the server stops reading from them,
 * others do not feel it, and once they read, every reply comes, in order.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { request } from "../support/frames";
import { RawSocket } from "../support/raw-socket";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const MB = 2 ** 20;
/** The server's memory may grow by this much for a connection that does not read: kernel buffers are not in it. */
const GROWTH_MAX = 48 * MB;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ flags: ["--workers", "1", "--memory", "64mb"] });
});

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

function residentBytes(): number {
  const status = readFileSync(`/proc/${server.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
}

/** Sends until the kernel takes no more for as long as a round trip on another connection takes, many times over. */
async function sendUntilStuck(
  raw: RawSocket,
  next: () => Buffer | null,
  other: WireClient,
): Promise<boolean> {
  let taken = false;
  for (let message = next(); message !== null; message = next()) {
    taken = false;
    void raw.send(message).then(() => (taken = true));
    for (let round = 0; !taken && round < 200; round++)
      await other.ask(request({ op: 10, value: Buffer.alloc(1) }));
    if (!taken) return true;
  }
  return false;
}

for (const [name, valueBytes, perBatch] of [
  ["large values, one batch", 64 * 1024, 4000],
  ["large values, a message each", 64 * 1024, 1],
  ["small values", 64, 1000],
] as const) {
  test(`pipelined GETs that nobody reads: ${name}`, async () => {
    const other = await WireClient.connect(server.ws);
    const raw = await RawSocket.connect(server.port);
    const keys = 50;
    for (let key = 0; key < keys; key++) {
      const value = Buffer.alloc(valueBytes, key);
      await other.ask(request({ op: 2, key: `k${key}`, value }));
    }
    const before = residentBytes();
    let asked = 0;
    const askedMax = valueBytes === 64 ? 3_000_000 : 4000;
    const stuck = await sendUntilStuck(
      raw,
      () => {
        if (asked >= askedMax) return null;
        const batch = Array.from({ length: perBatch }, (_, i) =>
          request({ op: 1, key: `k${(asked + i) % keys}` }),
        );
        asked += perBatch;
        return Buffer.concat(batch);
      },
      other,
    );
    // Many small requests fill the window; few of them ask for 250 MB and need not.
    if (valueBytes === 64) expect(stuck).toBe(true);
    expect(residentBytes() - before).toBeLessThan(GROWTH_MAX);

    let answered = 0;
    await new Promise<void>((resolve, reject) => {
      raw.read((payload) => {
        for (let at = 0; at < payload.length; at += 5 + valueBytes, answered++) {
          const whole = payload[at] === 1 && payload.readUInt32LE(at + 1) === valueBytes;
          if (
            !whole ||
            payload[at + 5] !== answered % keys ||
            payload[at + 4 + valueBytes] !== answered % keys
          )
            reject(new Error(`reply ${answered} is not the one that was asked for`));
        }
        if (answered >= asked) resolve();
      });
    });
    expect(answered).toBe(asked);
    expect(residentBytes() - before).toBeLessThan(GROWTH_MAX);
    raw.destroy();
    await raw.closed;
    other.close();
  });
}

test("a client that goes away with replies waiting leaves nothing behind", async () => {
  const other = await WireClient.connect(server.ws);
  await other.ask(request({ op: 2, key: "big", value: Buffer.alloc(4 * MB, 1) }));
  for (let round = 0; round < 20; round++) {
    const raw = await RawSocket.connect(server.port);
    await raw.send(Buffer.concat(Array.from({ length: 20 }, () => request({ op: 1, key: "big" }))));
    await other.ask(request({ op: 10, value: Buffer.alloc(1) }));
    raw.destroy();
    await raw.closed;
  }
  let open = Infinity;
  while (open > 1) {
    const [stats] = await other.ask(request({ op: 11 }));
    if (stats?.status !== "VALUE") throw new Error("no stats");
    open = (JSON.parse(stats.value.toString()) as { connections: number }).connections;
  }
  other.close();
});

test("half a handshake, half a frame, half a message: the others go on, and ends are noticed", async () => {
  const other = await WireClient.connect(server.ws);
  const half = await RawSocket.connect(server.port);
  await half.write(Buffer.from([0x82, 0xfe, 0x01]));
  const fragment = await RawSocket.connect(server.port);
  const begun = Buffer.from([0x02, 0x83, 0, 0, 0, 0, 1, 0, 1]);
  await fragment.write(begun);
  expect(await other.ask(request({ op: 10, value: Buffer.from("on") }))).toHaveLength(1);
  // The rest of the fragmented message makes it whole: GET k.
  await fragment.write(Buffer.from([0x80, 0x82, 0, 0, 0, 0, 0, 0x6b]));
  const reply = await new Promise<Buffer>((resolve) =>
    fragment.read((payload) => resolve(Buffer.from(payload))),
  );
  expect(reply).toEqual(Buffer.from([3]));
  half.destroy();
  fragment.destroy();
  other.close();
});

test("frames that are none end their connection only", async () => {
  const other = await WireClient.connect(server.ws);
  for (const bytes of [
    [0xff, 0xff, 0xff, 0xff],
    [0x8b, 0x80, 0, 0, 0, 0],
    [0xc2, 0x80, 0, 0, 0, 0],
  ]) {
    const raw = await RawSocket.connect(server.port);
    raw.read(() => {});
    await raw.write(Buffer.concat([Buffer.from(bytes), Buffer.alloc(32)]));
    await raw.closed;
  }
  expect(await other.ask(request({ op: 10, value: Buffer.from("on") }))).toHaveLength(1);
  other.close();
});
