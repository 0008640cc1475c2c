/**
 * SIGTERM at a random moment under full load: frames, text and HTTP. What is checked is what clients saw: what was sent
 * before the signal is answered, each later batch whole or not at all, in order; sockets end with 1001, the process with 0.
 */
import { request } from "../support/frames";
import { Random } from "../support/random";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const CLIENTS = 6;
const BATCH = 300;
/** Batches that a client has under way. */
const DEPTH = 4;
const LOAD_MS_MAX = 150;

export interface DrainReport {
  /** Batches that were answered whole. */
  batches: number;
  /** Of them those that were under way when the signal was sent, of clients that sent nothing afterwards. */
  underWay: number;
  http: number;
}

/** Starts a server, loads it, ends it with SIGTERM; throws when a client saw what it should not. */
export async function drainUnderLoad(seed: number): Promise<DrainReport> {
  const random = new Random(seed);
  const server = await startServer();
  const report: DrainReport = { batches: 0, underWay: 0, http: 0 };
  const [texter, ...framers] = await Promise.all(
    Array.from({ length: CLIENTS + 1 }, () => WireClient.connect(server.ws)),
  );
  const signal = { isSent: false };
  const loads = [
    ...framers.map((client, i) => frames(client, report, i % 2 === 0 ? signal : null)),
    text(texter!, report),
    http(server, report),
  ];
  await Bun.sleep(random.below(LOAD_MS_MAX));
  signal.isSent = true;
  const code = await server.stop();
  await Promise.all(loads);
  if (code !== 0) throw new Error(`exit code ${code}`);
  return report;
}

/** Batches of numbered pings: replies have to be those numbers, one by one, and end at the end of a batch. */
async function frames(
  client: WireClient,
  report: DrainReport,
  /** Nothing is sent after it, and everything before it has to be answered. */
  signal: { isSent: boolean } | null,
): Promise<void> {
  let sent = 0;
  let answered = 0;
  const send = () =>
    client.send(...Array.from({ length: BATCH }, () => request({ op: 10, value: numbered(sent++) })));
  for (let i = 0; i < DEPTH; i++) send();
  for (;;) {
    const reply = await client.reply().catch(() => null);
    if (reply === null) break;
    if (reply.status !== "VALUE" || reply.value.readUInt32LE() !== answered)
      throw new Error(`${JSON.stringify(reply)} instead of the answer to ${answered}`);
    if (++answered % BATCH !== 0) continue;
    if (signal?.isSent) report.underWay++;
    else send();
  }
  await expectGoingAway(client);
  if (answered % BATCH !== 0)
    throw new Error(`a batch was answered in part: ${answered % BATCH} of ${BATCH}`);
  if (signal !== null && answered !== sent)
    throw new Error(`${sent - answered} requests were sent in time and lost`);
  report.batches += answered / BATCH;
}

async function text(client: WireClient, report: DrainReport): Promise<void> {
  const batch = JSON.stringify(Array.from({ length: BATCH }, (_, id) => ({ op: "ping", id })));
  for (;;) {
    client.sendText(batch);
    const answer = await client.message().catch(() => null);
    if (answer === null) break;
    const ids = (JSON.parse(answer as string) as { id: number }[]).map(({ id }) => id);
    if (ids.length !== BATCH || ids.some((id, i) => id !== i))
      throw new Error("a text batch was answered wrong");
    report.batches++;
  }
  await expectGoingAway(client);
}

/** One after the other; an answer is whole and right, or says that the server shuts down, or the connection is gone. */
async function http(server: TestServer, report: DrainReport): Promise<void> {
  const value = "v".repeat(1000);
  for (;;) {
    try {
      const put = await fetch(`${server.http}/kv/k`, { method: "PUT", body: value });
      if (put.status === 503) return;
      const got = await fetch(`${server.http}/kv/k`);
      if (got.status === 503) return;
      if (put.status !== 204 || (await got.text()) !== value)
        throw new Wrong(`HTTP: ${put.status}, ${got.status}`);
      report.http += 2;
    } catch (error) {
      if (error instanceof Wrong) throw error;
      return;
    }
  }
}

class Wrong extends Error {}

async function expectGoingAway(client: WireClient): Promise<void> {
  const { code } = await client.closed;
  if (code !== 1001) throw new Error(`closed with ${code} instead of 1001`);
}

function numbered(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}
