/** The load generator of bench:peers: readers under every cut of the stream, and that it finds what a server gets wrong. */
import type { Socket } from "bun";
import { expect, test } from "bun:test";
import { Lane, newTally } from "./peers/lane";
import { pinned, cpuSeconds } from "./peers/cpu";
import { httpJson, httpRaw } from "./peers/protocols/http";
import { memcache, memcacheMulti } from "./peers/protocols/memcache";
import type { Answers, Protocol } from "./peers/protocols/protocol";
import { resp } from "./peers/protocols/resp";
import { wire } from "./peers/protocols/wire";
import { Loads } from "./peers/loads";
import { median } from "./peers/report";
import { loadRequests, preloadRequests, type Requests } from "./peers/requests";
import { withSection } from "./peers/results";
import { Target } from "./peers/target";
import { VALUE_BYTES, Values } from "./peers/values";
import type { StatsReport } from "../../src/commands/report";
import { keyText } from "../../src/cli/bench/plan";
import { startServer } from "../support/server";

const values = new Values(1000);

function valueText(index: number): string {
  const bytes = Buffer.alloc(VALUE_BYTES);
  values.writeValue(bytes, 0, index);
  return bytes.toString("latin1");
}

/** What each protocol's server sends for: a value, a stored put, a miss, an error, a value again. */
const STREAMS: [name: string, protocol: Protocol, stream: Buffer][] = [
  [
    "wire",
    wire,
    Buffer.concat([
      frame(found(1), Buffer.from([0])),
      frame(Buffer.from([3]), refusal("no")),
      frame(found(2)),
    ]),
  ],
  [
    "wire, ping between",
    wire,
    Buffer.concat([
      frame(found(1)),
      Buffer.from([0x89, 0]),
      frame(Buffer.from([0, 3])),
      frame(refusal("no"), found(2)),
    ]),
  ],
  ["resp", resp, Buffer.from(`$64\r\n${valueText(1)}\r\n+OK\r\n$-1\r\n-no\r\n$64\r\n${valueText(2)}\r\n`)],
  [
    "memcache",
    memcache,
    Buffer.from(
      `VALUE ${keyText(1)} 0 64\r\n${valueText(1)}\r\nEND\r\nSTORED\r\nEND\r\nno\r\nVALUE ${keyText(2)} 0 64\r\n${valueText(2)}\r\nEND\r\n`,
    ),
  ],
  [
    "HTTP, JSON",
    httpJson,
    Buffer.from(
      response("200 OK", json(1)) +
        response("200 OK", '{"status":"OK","message":"Key inserted/updated successfully."}') +
        response("404 Not Found", '{"status":"ERROR"}') +
        response("503 Busy", "no") +
        response("200 OK", json(2)),
    ),
  ],
  [
    "HTTP, raw",
    httpRaw,
    Buffer.from(
      response("200 OK", valueText(1)) +
        'HTTP/1.1 204 No Content\r\nETag: "1"\r\n\r\n' +
        response("404 Not Found", "{}") +
        response("503 Busy", "no") +
        response("200 OK", valueText(2)),
    ),
  ],
];

function found(index: number): Buffer {
  return Buffer.concat([Buffer.from([1, VALUE_BYTES, 0, 0, 0]), Buffer.from(valueText(index))]);
}

function refusal(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x86, text.length, 0]), Buffer.from(text)]);
}

function frame(...replies: Buffer[]): Buffer {
  const payload = Buffer.concat(replies);
  const head =
    payload.length < 126 ? [0x82, payload.length] : [0x82, 126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from(head), payload]);
}

function response(status: string, body: string): string {
  return `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\ncontent-LENGTH: ${body.length}\r\n\r\n${body}`;
}

function json(index: number): string {
  return `{"status":"OK","key":"${keyText(index)}","value":"${valueText(index)}"}`;
}

/** Notes what it hears, with values as text. */
class Heard implements Answers {
  readonly events: string[] = [];
  value(view: DataView, at: number, length: number): void {
    this.events.push(Buffer.from(view.buffer, view.byteOffset + at, length).toString("latin1"));
  }
  miss(): void {
    this.events.push("miss");
  }
  stored(): void {
    this.events.push("stored");
  }
  refused(reason: string): void {
    this.events.push(reason);
  }
}

/** Feeds pieces as a connection does: what was not worked off comes again. */
function hear(protocol: Protocol, pieces: Buffer[]): string[] {
  const heard = new Heard();
  const reader = protocol.newReader();
  let rest: Buffer = Buffer.alloc(0);
  for (const piece of pieces) {
    const bytes = Buffer.concat([rest, piece]);
    const read = reader.read(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), heard);
    rest = bytes.subarray(read);
  }
  expect(rest.length).toBe(0);
  return heard.events;
}

for (const [name, protocol, stream] of STREAMS)
  test(`${name}: replies cut at any byte, or at every byte, are read the same`, () => {
    const wanted = [valueText(1), "stored", "miss", name.startsWith("HTTP") ? "503 no" : "no", valueText(2)];
    expect(hear(protocol, [stream])).toEqual(wanted);
    for (let cut = 0; cut <= stream.length; cut++)
      expect(hear(protocol, [stream.subarray(0, cut), stream.subarray(cut)])).toEqual(wanted);
    expect(
      hear(
        protocol,
        Array.from(stream, (_, at) => stream.subarray(at, at + 1)),
      ),
    ).toEqual(wanted);
  });

test("memcache: gets that follow each other are one, whose values are read however they are cut", () => {
  const bytes = Buffer.alloc(1000);
  let end = 0;
  for (const [index, write] of [
    [1, memcacheMulti.writeGet],
    [2, memcacheMulti.writeGet],
    [3, memcacheMulti.writePut],
    [4, memcacheMulti.writeGet],
  ] as const)
    end = write(bytes, end, index, values);
  expect(memcacheMulti.closeBatch!(bytes, end).toString()).toBe(
    `get ${keyText(1)} ${keyText(2)}\r\nset ${keyText(3)} 0 0 64\r\n${valueText(3)}\r\nget ${keyText(4)}\r\n`,
  );
  const value = (index: number) => `VALUE ${keyText(index)} 0 64\r\n${valueText(index)}\r\n`;
  const stream = Buffer.from(`${value(1)}${value(2)}END\r\nSTORED\r\n${value(4)}END\r\nERROR\r\n`);
  const wanted = [valueText(1), valueText(2), "stored", valueText(4), "ERROR"];
  for (let cut = 0; cut <= stream.length; cut++)
    expect(hear(memcacheMulti, [stream.subarray(0, cut), stream.subarray(cut)])).toEqual(wanted);
});

test("bytes that are no reply are noticed", () => {
  const noise = Buffer.from("?!?!\r\n\r\n");
  for (const protocol of [wire, resp, httpJson]) expect(() => hear(protocol, [noise])).toThrow();
});

test("values: one for each key, 64 plain characters", () => {
  const all = new Set(Array.from({ length: values.keys }, (_, index) => valueText(index)));
  expect(all.size).toBe(values.keys);
  for (const text of all) expect(text).toMatch(/^[A-Za-z0-9_-]{64}$/);
});

/** A lane whose server is a function of what it was sent. */
async function withServer(
  answer: (request: Buffer) => string,
  run: (port: number) => Promise<void>,
): Promise<void> {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket, request) => void socket.write(answer(request)) },
  });
  try {
    await run(server.port);
  } finally {
    server.stop(true);
  }
}

test("a lane counts the wrong value, the miss, the refusal, and the answer of the other kind", async () => {
  const answers = `$64\r\n${valueText(0)}\r\n$64\r\n${valueText(0)}\r\n$-1\r\n-full\r\n+OK\r\n$64\r\n${valueText(5)}\r\n$3\r\nabc\r\n`;
  await withServer(
    () => answers,
    async (port) => {
      const tally = newTally();
      const answered = Promise.withResolvers<void>();
      const events = {
        answered: () => answered.resolve(),
        broken: (reason: string) => answered.reject(reason),
      };
      const lane = await Lane.open(port, resp, values, tally, events);
      const requests: Requests = {
        indices: Uint32Array.of(0, 1, 2, 3, 4, 5, 6),
        gets: Uint8Array.of(1, 1, 1, 1, 1, 0, 1),
        batchSize: 7,
        batches: [Buffer.from("x")],
      };
      lane.send(requests, 0);
      await answered.promise;
      lane.close();
      expect(tally).toEqual({
        done: 7,
        hits: 1,
        puts: 0,
        misses: 1,
        wrong: 4,
        refused: 1,
        problem: "key 1 has a value of 64 bytes that is not its own",
      });
    },
  );
});

test("an answer that nobody asked for breaks the lane", async () => {
  await withServer(
    () => "+OK\r\n+OK\r\n",
    async (port) => {
      const target = await Target.open({ port, connections: 1, batchSize: 1, getShare: 0 }, resp, values);
      const { ended } = target.loadFully();
      expect(ended).rejects.toThrow("nobody asked for");
      await ended.catch(() => {});
    },
  );
});

test("Breadbox itself answers all three protocols it speaks without a fault", async () => {
  const server = await startServer({ flags: ["--workers", "1"] });
  for (const [protocol, batchSize] of [
    [wire, 64],
    [wire, 1],
    [httpJson, 1],
    [httpRaw, 1],
  ] as const) {
    const plan = { port: server.port, connections: 4, batchSize, getShare: 0.5 };
    const target = await Target.open(plan, protocol, values);
    await target.preload();
    expect(target.tally.puts).toBe(values.keys);
    const { driver, ended } = target.loadFully();
    while (target.tally.done < 4 * values.keys) await Bun.sleep(1);
    driver.stop();
    await ended;
    const { misses, wrong, refused, hits } = target.tally;
    expect({ misses, wrong, refused }).toEqual({ misses: 0, wrong: 0, refused: 0 });
    expect(hits).toBeGreaterThan(0);
    target.close();
  }
  expect(await server.stop()).toBe(0);
}, 30_000);

test("two loads are one: connections shared out, operations added up", async () => {
  const server = await startServer({ flags: ["--workers", "1"] });
  const loads = new Loads(2, null);
  const target = {
    name: "ours",
    pid: server.process.pid,
    port: server.port,
    protocol: "wire",
    keys: 1000,
  } as const;
  await loads.open({ ...target, connections: 4, batchSize: 8, getShare: 0.5 });
  const stats = async () => (await (await fetch(`${server.http}/stats`)).json()) as StatsReport;
  const before = await stats();
  expect(before.connections).toBe(4);
  const { operations } = await loads.round({ name: "ours", warmupMs: 0, measureMs: 200 });
  const { get, put } = (await stats()).commands;
  const done = get! + put! - before.commands["get"]! - before.commands["put"]!;
  expect(operations).toBeLessThanOrEqual(done);
  // The server alone counts what was under way when a round began or ended; that is little. One of the two loads is half.
  expect(operations).toBeGreaterThan(done * 0.65);
  await loads.close("ours");
  await loads.end();
  expect(await server.stop()).toBe(0);
}, 30_000);

test("a server that lies ends the comparison with exit code 2", async () => {
  const child = Bun.spawn(
    [
      ...[process.execPath, new URL("./peers/peers.ts", import.meta.url).pathname, "--rows", "ws64"],
      ...["--rounds", "3", "--seconds", "0.1", "--without-peers", "--no-write"],
      ...["--server", new URL("./lying-server.ts", import.meta.url).pathname],
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [code, stderr] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  expect({ code, stderr: stderr.replace(/\d+ wrong/, "N wrong") }).toEqual({
    code: 2,
    stderr:
      "bench:peers: Breadbox: N wrong answers; the first: key 0 has a value of 64 bytes that is not its own\n",
  });
}, 30_000);

test("a paced load charges a stall to everyone who waited", async () => {
  const held = Promise.withResolvers<Socket>();
  let isFirst = true;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      // The first request is answered late; the others at once.
      data(socket) {
        if (isFirst) held.resolve(socket);
        else socket.write("+OK\r\n");
        isFirst = false;
      },
    },
  });
  const target = await Target.open(
    { port: server.port, connections: 1, batchSize: 1, getShare: 0 },
    resp,
    values,
  );
  const { driver, ended } = target.loadPaced(1000);
  const from = Bun.nanoseconds();
  const socket = await held.promise;
  while (Bun.nanoseconds() - from < 100e6) await Bun.sleep(1);
  socket.write("+OK\r\n");
  while (driver.latencies.total < 100) await Bun.sleep(1);
  driver.stop();
  await ended;
  target.close();
  server.stop(true);
  // Due every millisecond while nothing was answered: half of the first hundred waited for 45 ms and more.
  const { maxNs, total } = driver.latencies;
  expect(maxNs).toBeGreaterThan(90e6);
  expect(total).toBeGreaterThanOrEqual(100);
  expect(driver.latencies.percentile(1 - 50 / total)).toBeGreaterThan(40e6);
});

test("requests: every key is stored once, and picks repeat with their seed", () => {
  const { indices, gets, batches } = preloadRequests(httpRaw, values);
  expect(batches.length).toBe(values.keys);
  expect([...indices]).toEqual(Array.from({ length: values.keys }, (_, i) => i));
  expect(gets.includes(1)).toBe(false);
  const [first, second] = [loadRequests(resp, values, 64, 0.9), loadRequests(memcache, values, 64, 0.9)];
  expect(first.indices).toEqual(second.indices);
  expect(first.gets).toEqual(second.gets);
  const share = first.gets.reduce((sum, isGet) => sum + isGet, 0) / first.gets.length;
  expect(Math.abs(share - 0.9)).toBeLessThan(0.01);
});

test("only its own section of the results is replaced", () => {
  const text = "# Results\n\n## Other\n\nkept\n";
  const once = withSection(text, "bench:x", ["## X", "", "one"]);
  expect(once).toBe(`${text}\n<!-- bench:x -->\n\n## X\n\none\n\n<!-- end of bench:x -->\n`);
  const more = `${once}\n## After\n`;
  expect(withSection(more, "bench:x", ["two"])).toBe(
    `${text}\n<!-- bench:x -->\n\ntwo\n\n<!-- end of bench:x -->\n\n## After\n`,
  );
});

test("medians, pinning, and the CPU clock", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(pinned([1, 2], ["a", "b"])).toEqual(["taskset", "-c", "1,2", "a", "b"]);
  expect(pinned(null, ["a"])).toEqual(["a"]);
  const { user, system } = process.cpuUsage();
  const cpu = cpuSeconds(process.pid);
  expect(cpu).toBeGreaterThanOrEqual((user + system) / 1e6);
  expect(cpu - (user + system) / 1e6).toBeLessThan(1);
  expect(() => cpuSeconds(2 ** 22 + 1)).toThrow("has ended");
});
