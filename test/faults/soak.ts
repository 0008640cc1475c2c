/**
 * Mixed load for minutes: frames, text and HTTP, connections that come and go, overwrites, expiries, and a worker killed
 * now and then. Every answer is compared with what its key may hold. Ends with a table; exit code 2 when a value or an
 * answer was wrong or never came, or more was missed than the server says that it lost.
 *
 *   bun run soak [--minutes 3] [--seed 1]
 */
import { parseArgs } from "node:util";
import { type Reply, request } from "../support/frames";
import { residentBytes } from "../support/process";
import { Random } from "../support/random";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { DEATHS, type FaultOrder } from "./fault-order";
import { Ledger, WrongValue } from "./ledger";

const { values: options } = parseArgs({
  options: { minutes: { type: "string", default: "3" }, seed: { type: "string", default: "1" } },
});
const SEED = Number(options.seed);
const MINUTES = Number(options.minutes);
const WORKERS = 2;
const KEYS_EACH = 300;
const VALUE_BYTES_MAX = 8000;
const BATCH_MAX = 40;
/** Batches until a client leaves and another comes. */
const BATCHES_EACH = 200;
const TTL_MS_MAX = 2000;
const KILL_EVERY_MS = 15_000;
const PROGRESS_MS = 10_000;
/** An answer that takes so long on a connection that stays open is lost. */
const LOST_MS = 30_000;
const MB = 2 ** 20;

/** One operation, and what its answer means to the ledger. */
interface Step {
  key: string;
  /** Null for a get. */
  value: Buffer | null;
  ttlMs: number | null;
}

const totals = { operations: 0, wrong: 0, lost: 0, disconnected: 0, dying: 0, connected: 0 };
let stopping = false;

/** A way of asking: sends steps, resolves with the answers, null when the connection ended first. */
interface Transport {
  ask(steps: Step[]): Promise<(Buffer | null)[] | null>;
  close(): void;
}

class Frames implements Transport {
  private constructor(private readonly client: WireClient) {}
  static open = async (server: TestServer) => new Frames(await WireClient.connect(server.ws));

  async ask(steps: Step[]): Promise<(Buffer | null)[] | null> {
    const requests = steps.map(({ key, value, ttlMs }) =>
      value === null
        ? request({ op: 1, key })
        : request({ op: 2, key, value, ...(ttlMs !== null && { ttlMs: BigInt(ttlMs) }) }),
    );
    const replies = await this.client.ask(...requests).catch(() => null);
    return replies && replies.map((reply, i) => answerOf(reply, steps[i]!));
  }
  close(): void {
    this.client.close();
  }
}

function answerOf(reply: Reply, { value }: Step): Buffer | null {
  if (reply.status === "VALUE" && value === null) return reply.value;
  if (reply.status !== (value === null ? "MISS" : "OK"))
    throw new WrongValue(`answered ${JSON.stringify(reply)}`);
  return null;
}

class Text implements Transport {
  private constructor(private readonly client: WireClient) {}
  static open = async (server: TestServer) => new Text(await WireClient.connect(server.ws));

  async ask(steps: Step[]): Promise<(Buffer | null)[] | null> {
    const requests = steps.map(({ key, value, ttlMs }) => ({
      op: value === null ? "get" : "put",
      key,
      ...(value !== null && { value: value.toString() }),
      ...(ttlMs !== null && { ttl: ttlMs }),
    }));
    const answers = await this.client.askJson(requests).catch(() => null);
    return (
      answers &&
      (answers as { status: string; value?: string }[]).map(({ status, value }, i) => {
        if (status !== "OK" && (status !== "MISS" || steps[i]!.value !== null))
          throw new WrongValue(`answered ${JSON.stringify(answers[i])}`);
        return value === undefined ? null : Buffer.from(value);
      })
    );
  }
  close(): void {
    this.client.close();
  }
}

class Http implements Transport {
  private constructor(private readonly server: TestServer) {}
  static open = async (server: TestServer) => new Http(server);

  async ask(steps: Step[]): Promise<(Buffer | null)[] | null> {
    const answers: (Buffer | null)[] = [];
    for (const step of steps) {
      const answer = await this.askOne(step).catch((error) => {
        if (error instanceof WrongValue) throw error;
        return "gone" as const;
      });
      if (answer === "gone") return null;
      answers.push(answer);
    }
    return answers;
  }
  close(): void {}

  private async askOne({ key, value, ttlMs }: Step): Promise<Buffer | null> {
    const url = `${this.server.http}/kv/${encodeURIComponent(key)}`;
    if (value === null) {
      const got = await fetch(url);
      if (got.status === 200) return Buffer.from(await got.bytes());
      await got.bytes();
      expectAlive(got);
      if (got.status !== 404) throw new WrongValue(`GET was answered with ${got.status}`);
      return null;
    }
    const put = await fetch(ttlMs === null ? url : `${url}?ttl=${ttlMs}`, { method: "PUT", body: value });
    expectAlive(put);
    if (put.status !== 204) throw new WrongValue(`PUT was answered with ${put.status}`);
    return null;
  }
}

/** While a worker ends, Bun answers 503 by itself, and bare: ours are JSON. Nothing was done then. */
function expectAlive(response: Response): void {
  if (response.status !== 503 || response.headers.has("content-type")) return;
  totals.dying++;
  throw new Error("answered by a worker that was ending");
}

/** A client with keys of its own, which works until the soak ends. */
async function work(
  server: TestServer,
  number: number,
  open: (server: TestServer) => Promise<Transport>,
  batchMax: number,
) {
  const random = new Random(SEED * 1000 + number);
  const ledger = new Ledger(random);
  while (!stopping) {
    const transport = await open(server).catch(() => null);
    if (transport === null) continue;
    totals.connected++;
    for (let n = 0; n < BATCHES_EACH && !stopping; n++) {
      const steps = makeSteps(random, ledger, number, batchMax);
      const answers = await inTime(transport.ask(steps));
      if (answers === null) {
        totals.disconnected++;
        break;
      }
      answers.forEach((answer, i) => settle(ledger, steps[i]!, answer));
      totals.operations += steps.length;
    }
    transport.close();
  }
  return ledger.missed.length;
}

/** No key twice, so that a batch that broke off leaves two possible values at most. */
function makeSteps(random: Random, ledger: Ledger, number: number, batchMax: number): Step[] {
  const keys = new Set(Array.from({ length: 1 + random.below(batchMax) }, () => random.below(KEYS_EACH)));
  return [...keys].map((n) => {
    const expires = n % 5 === 0;
    const key = `client ${number} ${expires ? "short" : "long"} ${n}`;
    if (random.below(3) > 0) return { key, value: null, ttlMs: null };
    return {
      key,
      value: ledger.begin(key, VALUE_BYTES_MAX),
      ttlMs: expires ? 1 + random.below(TTL_MS_MAX) : null,
    };
  });
}

function settle(ledger: Ledger, { key, value, ttlMs }: Step, answer: Buffer | null): void {
  if (value === null) ledger.check(key, answer);
  else ledger.done(key, ttlMs !== null);
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      totals.lost++;
      reject(new Error("an answer never came"));
    }, LOST_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function killSomebody(server: TestServer, random: Random): void {
  const fault = random.pick(["terminate", "terminate", ...DEATHS] as const);
  const order: FaultOrder = { worker: random.below(WORKERS), fault, shard: random.below(2) };
  server.process.stdin.write(`${JSON.stringify(order)}\n`);
  server.process.stdin.flush();
}

async function statsOf(server: TestServer): Promise<Record<string, number>> {
  return (await (await fetch(`${server.http}/stats`, { keepalive: false })).json()) as Record<string, number>;
}

const program = new URL("./faulty-server.ts", import.meta.url).pathname;
const server = await startServer({ program, flags: ["--workers", String(WORKERS)] });
const resident = () => Math.round(residentBytes(server.process.pid) / MB);
const started = performance.now();
const minutes = () => (performance.now() - started) / 60_000;
const working = [
  ...Array.from({ length: 4 }, (_, i) => work(server, i, Frames.open, BATCH_MAX)),
  ...Array.from({ length: 2 }, (_, i) => work(server, 10 + i, Text.open, BATCH_MAX)),
  ...Array.from({ length: 2 }, (_, i) => work(server, 20 + i, Http.open, 4)),
].map((client) =>
  client.catch((error: Error) => {
    if (error instanceof WrongValue) totals.wrong++;
    console.error(error.message);
    stopping = true;
    return 0;
  }),
);
const killing = new Random(SEED);
const killer = setInterval(() => killSomebody(server, killing), KILL_EVERY_MS);
const memory: { start?: number; middle?: number } = {};
while (!stopping && minutes() < MINUTES) {
  await Bun.sleep(Math.min(PROGRESS_MS, (MINUTES - minutes()) * 60_000));
  memory.start ??= resident();
  if (minutes() >= MINUTES / 2) memory.middle ??= resident();
  console.log(`${minutes().toFixed(1)} min  ${totals.operations} operations  ${resident()} MiB`);
}
clearInterval(killer);
stopping = true;
const missed = (await Promise.all(working)).reduce((sum, n) => sum + n, 0);
const stats = await statsOf(server);
const end = resident();
const code = await server.stop();
console.table({
  operations: totals.operations,
  "wrong values or answers": totals.wrong,
  "lost replies": totals.lost,
  "entries missed by clients": missed,
  "entries lost, as the server says": stats.entriesLost!,
  "entries evicted": stats.evictions!,
  "entries expired": stats.expirations!,
  "worker restarts": stats.workerRestarts!,
  "shards taken back": stats.recoveries!,
  "connections opened": totals.connected,
  "connections ended by a death": totals.disconnected,
  "of them HTTP, by a bare 503": totals.dying,
  "memory at the start, MiB": memory.start!,
  "memory in the middle, MiB": memory.middle!,
  "memory at the end, MiB": end,
  "exit code": code,
});
if (totals.wrong > 0 || totals.lost > 0 || missed > stats.entriesLost! + stats.evictions! || code !== 0)
  process.exitCode = 2;
