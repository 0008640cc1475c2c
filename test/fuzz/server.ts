/**
 * Fuzzes a real server over its sockets: frames, text, broken WebSocket frames and broken HTTP, on several connections at
 * once. Every message is checked: as many replies as the protocol's page promises, and between them a put and a get
 * whose answer is known. Throws at the first thing that is wrong.
 */
import { connect } from "node:net";
import { isPush, type Reply, request } from "../support/frames";
import { Random } from "../support/random";
import { frame, HANDSHAKE } from "../support/raw-socket";
import type { TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { anyBatch, anyHttp, anyText, mutated } from "./generate";
import { verdictOf } from "./oracle";

const LANES = 12;
/** A lane sends so many messages before it waits for their answers. */
const IN_FLIGHT = 16;
/** An answer that takes so long will never come. */
const HANG_MS = 20_000;

export interface FuzzCounts {
  frames: number;
  text: number;
  brokenFrames: number;
  http: number;
  closedAsMalformed: number;
  /** Well-formed requests whose answer was compared. */
  proved: number;
}

/** Sends `count` messages; the same seed sends the same ones, though lanes may overtake each other. */
export async function fuzzServer(
  server: TestServer,
  seed: number,
  count: number,
  onProgress = (_done: number) => {},
): Promise<FuzzCounts> {
  const counts: FuzzCounts = {
    frames: 0,
    text: 0,
    brokenFrames: 0,
    http: 0,
    closedAsMalformed: 0,
    proved: 0,
  };
  let left = count;
  const lanes = Array.from({ length: LANES }, async (_, number) => {
    const random = new Random(seed * LANES + number);
    const lane = new Lane(server, random, number, counts);
    for (; left > 0; onProgress(count - left)) {
      const dice = random.below(100);
      const part = Math.min(left, IN_FLIGHT);
      const work =
        dice < 84
          ? lane.sendFrames(part)
          : dice < 94
            ? lane.sendText(part)
            : dice < 97
              ? lane.sendBrokenFrame()
              : lane.sendHttp();
      const sent = await inTime(work, `lane ${number}`);
      left -= sent;
    }
    lane.close();
  });
  await Promise.all(lanes);
  return counts;
}

class Lane {
  private client: WireClient | null = null;
  private proofs = 0;

  constructor(
    private readonly server: TestServer,
    private readonly random: Random,
    private readonly number: number,
    private readonly counts: FuzzCounts,
  ) {}

  /** Batches, some of them mutated, each after a put and a get that have to be answered right; returns how many were sent. */
  async sendFrames(count: number): Promise<number> {
    const { random, counts } = this;
    const client = await this.connected();
    const expected: { proof: Buffer; wellFormed: number }[] = [];
    let malformed = false;
    for (let i = 0; i < count && !malformed; i++) {
      const message = makeMessage(random);
      const verdict = verdictOf(message);
      malformed = verdict.malformed;
      const proof = Buffer.from(`${this.number}:${this.proofs++}`);
      client.send(
        request({ op: 2, key: this.proofKey(), value: proof }),
        request({ op: 1, key: this.proofKey() }),
        message,
      );
      expected.push({ proof, wellFormed: verdict.wellFormed });
    }
    counts.frames += expected.length;
    for (const { proof, wellFormed } of expected) {
      expectStatus(await client.reply(), "OK");
      this.checkProof(await client.reply(), proof);
      for (let i = 0; i < wellFormed; i++) await client.reply();
    }
    client.pushed.length = 0;
    if (malformed) await this.expectMalformedEnd(client);
    return expected.length;
  }

  /** Text, right or not: each message one answer, and the connection stays. */
  async sendText(count: number): Promise<number> {
    const client = await this.connected();
    for (let i = 0; i < count; i++) client.sendText(anyText(this.random));
    for (let i = 0; i < count; i++) {
      const answer = await this.textOf(client);
      for (const one of [JSON.parse(answer)].flat())
        if (one.code === "INTERNAL" || typeof one.status !== "string") throw new Error(`answered ${answer}`);
    }
    this.counts.text += count;
    return count;
  }

  /** The next answer as text; what comes before it is told and answers nothing. */
  private async textOf(client: WireClient): Promise<string> {
    for (;;) {
      const message = await client.message();
      if (typeof message !== "string") {
        if (!isPush(message)) throw new Error("a text message was answered by a binary one");
      } else if (!message.startsWith('{"push":')) return message;
    }
  }

  /** A WebSocket whose frames are no longer frames, then the end of what we send: it has to be closed. */
  async sendBrokenFrame(): Promise<number> {
    const { random } = this;
    const good = frame(anyBatch(random, 3), random.pick([0, 1, 2, 8, 9, 10]));
    await answered(this.server.port, Buffer.concat([Buffer.from(HANDSHAKE("/ws")), mutated(random, good)]));
    this.counts.brokenFrames++;
    return 1;
  }

  /** HTTP, mostly broken, then the end of what we send: it has to be closed, and what is answered is HTTP. */
  async sendHttp(): Promise<number> {
    const answer = await answered(this.server.port, anyHttp(this.random));
    if (answer.length > 0 && !answer.startsWith("HTTP/1.1 "))
      throw new Error(`answered ${answer.slice(0, 80)}`);
    if (answer.startsWith("HTTP/1.1 500")) throw new Error(`answered ${answer.slice(0, 300)}`);
    this.counts.http++;
    return 1;
  }

  close(): void {
    this.client?.close();
  }

  private async connected(): Promise<WireClient> {
    return (this.client ??= await WireClient.connect(this.server.ws));
  }

  private proofKey(): string {
    return `proof of lane ${this.number}`;
  }

  /** Another lane's CLEAR of everything may have come between; nothing else may. */
  private checkProof(reply: Reply, proof: Buffer): void {
    if (reply.status === "MISS") return;
    if (reply.status !== "VALUE" || !reply.value.equals(proof))
      throw new Error(`lane ${this.number} got ${JSON.stringify(reply)} instead of ${proof}`);
    this.counts.proved++;
  }

  private async expectMalformedEnd(client: WireClient): Promise<void> {
    const reply = await client.reply();
    if (reply.status !== "ERROR" || reply.code !== 0x80)
      throw new Error(`no MALFORMED: ${JSON.stringify(reply)}`);
    const { code } = await client.closed;
    if (code !== 1008) throw new Error(`closed with ${code} after MALFORMED`);
    this.client = null;
    this.counts.closedAsMalformed++;
  }
}

function makeMessage(random: Random): Buffer {
  const dice = random.below(10);
  if (dice === 0) return random.bytes(random.below(40));
  const batch = anyBatch(random, 4);
  return dice < 7 ? batch : mutated(random, batch);
}

function expectStatus(reply: Reply, status: Reply["status"]): void {
  if (reply.status !== status) throw new Error(`${JSON.stringify(reply)} instead of ${status}`);
}

/** Sends bytes and the end of them; resolves with what came once the server has closed. */
function answered(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let got = "";
    socket.on("data", (chunk) => (got += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(got));
    socket.end(bytes);
  });
}

async function inTime<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} hangs`)), HANG_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The store as seen from outside: every key that a scan finds is there, and after a clear nothing is left of any. */
export async function checkStore(server: TestServer): Promise<{ keys: number }> {
  const client = await WireClient.connect(server.ws);
  const keys = new Set<string>();
  let cursor = Buffer.alloc(0) as Buffer;
  do {
    const [page] = await client.ask(request({ op: 8, value: cursor }));
    if (page?.status !== "SCAN_PAGE") throw new Error("no page");
    for (const key of page.keys) {
      keys.add(key.toString("latin1"));
      // Gone is right for one that expires meanwhile.
      const [info, value] = await client.ask(request({ op: 7, key }), request({ op: 1, key }));
      if (info?.status === "META" && value?.status === "VALUE" && info.length !== value.value.length)
        throw new Error("a value is not as long as its entry says");
    }
    cursor = Buffer.alloc(8);
    cursor.writeBigUInt64LE(page.cursor);
  } while (cursor.readBigUInt64LE() !== 0n);
  await client.ask(request({ op: 9 }));
  const [stats] = await client.ask(request({ op: 11 }));
  if (stats?.status !== "VALUE") throw new Error("no stats");
  const { entries, bytesPayload, workerRestarts } = JSON.parse(stats.value.toString());
  if (entries !== 0 || bytesPayload !== 0)
    throw new Error(`after a clear there are ${entries} entries of ${bytesPayload} bytes`);
  if (workerRestarts !== 0) throw new Error(`${workerRestarts} workers died`);
  client.close();
  return { keys: keys.size };
}
