/**
 * Kills a server with SIGKILL under write load, starts it again over the memory that it left, and checks what a client can see. In a
 * store with room nothing that was acknowledged may be gone but what was being written, one entry a worker; in one that is
 * full anything may have been evicted. In both no value may be torn, older than an acknowledged write, or have a version
 * that was given out before.
 *
 * Each client has keys of its own, so it knows what each may hold.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Reply, request } from "../support/frames";
import { Random } from "../support/random";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { Ledger } from "./ledger";

const WORKERS = 2;
const FRAME_CLIENTS = 5;
const HTTP_CLIENTS = 2;
const BATCH = 24;
/** Between the first replies after a start and the kill. */
const PAUSE_MS_MAX = 40;
/** Then the file is removed, so that tables grow again. */
const KILLS_A_LIFE = 20;
const PUT_RETURN_VERSION = 0x20;
const OP = { GET: 1, PUT: 2, DELETE: 3, APPEND: 6 } as const;
/** A file system in memory where there is one; else wherever temporary files go. */
const BASE = process.platform === "linux" ? "/dev/shm" : "/tmp";

export interface World {
  readonly name: string;
  readonly flags: readonly string[];
  readonly keysEach: number;
  readonly valueBytesMax: number;
  /** Nothing is evicted. */
  readonly hasRoom: boolean;
}

export const WORLDS: readonly World[] = [
  {
    name: "with room",
    flags: ["--memory", "64mb", "--shards", "4"],
    keysEach: 2000,
    valueBytesMax: 1500,
    hasRoom: true,
  },
  {
    name: "full",
    flags: ["--memory", "2mb", "--shards", "2"],
    keysEach: 1500,
    valueBytesMax: 3000,
    hasRoom: false,
  },
];

export interface RestartReport {
  world: string;
  kills: number;
  /** Writes that were acknowledged. */
  acknowledged: number;
  /** Entries that were looked for after a start, and those of them that were gone although they were not deleted. */
  lookedFor: number;
  gone: number;
  /** Shards in which a change had broken off. */
  repairs: number;
}

/** Throws at the first thing that may not be. */
export async function killAndRestart(world: World, seed: number, kills: number): Promise<RestartReport> {
  const directory = mkdtempSync(join(BASE, "breadbox-restarts-"));
  const random = new Random(seed);
  const report = { world: world.name, kills, acknowledged: 0, lookedFor: 0, gone: 0, repairs: 0 };
  try {
    for (let done = 0; done < kills; done += KILLS_A_LIFE) {
      rmSync(join(directory, "breadbox.cache"), { force: true });
      await oneLife({ world, directory, random, report, kills: Math.min(KILLS_A_LIFE, kills - done) });
    }
    return report;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Life {
  world: World;
  directory: string;
  random: Random;
  report: RestartReport;
  kills: number;
}

async function oneLife({ world, directory, random, report, kills }: Life): Promise<void> {
  const flags = ["--workers", String(WORKERS), ...world.flags, "--data-dir", directory];
  const clients = Array.from({ length: FRAME_CLIENTS + HTTP_CLIENTS }, (_, number) => {
    const state = new ClientState(number, world, new Random(random.below(2 ** 31)));
    return number < FRAME_CLIENTS ? new FrameClient(state) : new HttpClient(state);
  });
  for (let kill = 0; kill <= kills; kill++) {
    const server = await startServer({ flags });
    report.repairs += (server.log().match(/was being written/g) ?? []).length;
    if (/could not be repaired|begins cold/.test(server.log())) throw new Error(server.log());
    const gone = await lookForAll(clients, server, report);
    if (world.hasRoom && gone > WORKERS) throw new Error(`${gone} entries are gone after one kill`);
    if (kill === kills) {
      for (const { state } of clients) report.acknowledged += state.acknowledged;
      if ((await server.stop()) !== 0) throw new Error(`it did not end well:\n${server.log()}`);
      return;
    }
    let killed = false;
    const working = clients.map((client) => client.work(server, () => killed));
    await Promise.race([Promise.all(clients.map((client) => client.hasAnswer())), Promise.all(working)]);
    await Bun.sleep(random.below(PAUSE_MS_MAX));
    killed = true;
    server.process.kill("SIGKILL");
    await server.process.exited;
    await Promise.all(working);
  }
}

/** Returns how many entries are gone that no delete took. */
async function lookForAll(clients: Client[], server: TestServer, report: RestartReport): Promise<number> {
  const reader = await WireClient.connect(server.ws);
  let gone = 0;
  for (const { state } of clients) {
    const before = state.ledger.missed.length;
    for (let at = 0; at < state.keys.length; at += 200) {
      const keys = state.keys.slice(at, at + 200);
      const replies = await reader.ask(...keys.map((key) => request({ op: OP.GET, key })));
      keys.forEach((key, i) => {
        const reply = replies[i]!;
        if (state.ledger.mayHold(key)) report.lookedFor++;
        state.ledger.settle(key, reply.status === "VALUE" ? reply.value : null);
      });
    }
    gone += state.ledger.missed.length - before;
  }
  report.gone += gone;
  reader.close();
  return gone;
}

/** What a client knows: its keys, what each may hold, and the highest version of each. */
class ClientState {
  readonly ledger: Ledger;
  readonly keys: string[];
  acknowledged = 0;
  private readonly versions = new Map<string, bigint>();

  constructor(
    number: number,
    readonly world: World,
    readonly random: Random,
  ) {
    this.ledger = new Ledger(random);
    this.keys = Array.from({ length: world.keysEach }, (_, i) => `client ${number} key ${i}`);
  }

  /** Different keys, so that no two requests of a batch are about one. */
  someKeys(count: number): string[] {
    const start = this.random.below(this.keys.length);
    return Array.from({ length: count }, (_, i) => this.keys[(start + i * 7) % this.keys.length]!);
  }

  wrote(key: string, version: bigint): void {
    const before = this.versions.get(key) ?? 0n;
    if (version <= before) throw new Error(`${key} got version ${version} after ${before}`);
    this.versions.set(key, version);
    this.ledger.done(key);
    this.acknowledged++;
  }

  deleted(key: string): void {
    this.ledger.deleted(key);
    this.acknowledged++;
  }
}

abstract class Client {
  private answered = Promise.withResolvers<void>();

  constructor(readonly state: ClientState) {}

  /** Resolves once it has had an answer of the server that it works with. */
  hasAnswer(): Promise<void> {
    return this.answered.promise;
  }

  /** Writes until the connection ends because the server was killed. */
  async work(server: TestServer, isKilled: () => boolean): Promise<void> {
    this.answered = Promise.withResolvers<void>();
    try {
      await this.writeTo(server, () => this.answered.resolve());
    } catch (error) {
      if (!isKilled() || !isEndOfConnection(error)) throw error;
    }
  }

  protected abstract writeTo(server: TestServer, onAnswer: () => void): Promise<void>;
}

class FrameClient extends Client {
  protected async writeTo(server: TestServer, onAnswer: () => void): Promise<void> {
    const client = await WireClient.connect(server.ws);
    const { state } = this;
    for (;;) {
      const writes = state.someKeys(BATCH).map((key) => this.anyWrite(key));
      const replies = await client.ask(...writes.map(({ bytes }) => bytes));
      writes.forEach(({ done }, i) => done(replies[i]!));
      onAnswer();
    }
  }

  private anyWrite(key: string): { bytes: Buffer; done: (reply: Reply) => void } {
    const { state } = this;
    if (state.random.below(8) === 0) {
      state.ledger.deleting(key);
      return {
        bytes: request({ op: OP.DELETE, key }),
        done: ({ status }) => {
          if (status !== "OK" && status !== "MISS") throw new Error(`a delete was answered with ${status}`);
          state.deleted(key);
        },
      };
    }
    const value = state.ledger.begin(key, state.world.valueBytesMax);
    return {
      bytes: request({ op: OP.PUT, flags: PUT_RETURN_VERSION, key, value }),
      done: (reply) => {
        if (reply.status !== "NUMBER") throw new Error(`a put was answered with ${JSON.stringify(reply)}`);
        state.wrote(key, reply.number);
      },
    };
  }
}

class HttpClient extends Client {
  protected async writeTo(server: TestServer, onAnswer: () => void): Promise<void> {
    const { state } = this;
    for (;;) {
      const [key] = state.someKeys(1);
      const value = state.ledger.begin(key!, state.world.valueBytesMax);
      const url = `${server.http}/kv/${encodeURIComponent(key!)}`;
      const response = await fetch(url, { method: "PUT", body: value.toString() });
      await response.arrayBuffer();
      if (response.status !== 204) throw new Error(`a put was answered with ${response.status}`);
      state.wrote(key!, BigInt(response.headers.get("etag")!.replaceAll('"', "")));
      onAnswer();
    }
  }
}

/** What is thrown when the server is gone, in words of Bun or of ours. */
function isEndOfConnection(error: unknown): boolean {
  const { code, message } = error as { code?: string; message: string };
  const codes = ["ECONNRESET", "ECONNREFUSED", "ConnectionRefused", "ConnectionClosed", "FailedToOpenSocket"];
  return codes.includes(code ?? "") || /connection was closed|not connected/.test(message);
}
