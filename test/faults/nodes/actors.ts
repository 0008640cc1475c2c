/** The clients of the run: each does what it is told over its own transport, one request or one batch after the other, and notes what came of it. */
import { type Cache, CacheError, connect } from "../../../src/client/client";
import { type Reply, request } from "../../support/frames";
import { WireClient } from "../../support/wire-client";
import type { Actor, Change, History } from "./history";
import { nameOf, partOf } from "./values";

export type Task =
  | { verb: "get"; key: string }
  | { verb: "put"; key: string; id: number; ttlMs?: number; condition?: "absent" | "version" }
  | { verb: "append"; key: string; id: number }
  | { verb: "touch"; key: string; ttlMs?: number }
  | { verb: "delete"; key: string }
  | { verb: "clear"; prefix: string; keys: readonly string[] };

export const MAY_HAVE_HAPPENED = "may have happened";
const FLAG = { META: 0x08, WATCH: 0x10, IF_ABSENT: 0x08, RETURN_VERSION: 0x20 } as const;
const BUSY = 0x86;

/** What a request was answered with. */
export type Answer =
  | { is: "value"; value: Buffer; version: number }
  | { is: "none" }
  /** Done; the version where it is told. */
  | { is: "done"; version: number }
  /** A condition did not hold, or there was nothing: nothing has changed. */
  | { is: "unchanged" }
  /** The origin could not be asked. */
  | { is: "busy"; message: string }
  /** The connection has ended. */
  | { is: "lost" };

/** Notes what one connection does. */
export class Notes {
  /** The last version that it has seen of each key, for conditions. */
  readonly seen = new Map<string, number>();
  private turn = 0;

  constructor(
    readonly actor: Actor,
    private readonly history: History,
    /** A clear may miss keys of slots that move meanwhile. */
    private readonly isMoving: () => boolean,
  ) {}

  /** To be called before the request is sent; what it returns takes the answer. */
  begin(task: Task): (answer: Answer) => void {
    const turn = this.turn++;
    const sent = performance.now();
    const changes = this.changesOf(task, turn, sent);
    return (answer) => this.end(task, { turn, sent, changes }, answer);
  }

  private end(
    task: Task,
    { turn, sent, changes }: { turn: number; sent: number; changes: readonly Change[] },
    answer: Answer,
  ): void {
    const received = performance.now();
    const { history, actor } = this;
    if (answer.is === "busy" && !answer.message.includes(MAY_HAVE_HAPPENED))
      for (const change of changes) change.sent = Infinity;
    if (task.verb === "get") {
      if (answer.is !== "value" && answer.is !== "none") return;
      const value = answer.is === "value" ? nameOf(answer.value) : null;
      const version = answer.is === "value" ? answer.version : 0;
      if (version !== 0) this.seen.set(task.key, version);
      history.read({ key: task.key, value, version, by: actor, turn, sent, received });
    } else if (task.verb === "touch") {
      const isUnknown = answer.is === "lost" || answer.is === "busy";
      const ttlMs = task.ttlMs ?? Infinity;
      history.touched({ key: task.key, sent, done: isUnknown ? Infinity : received, ttlMs });
    } else if (answer.is === "done" || (answer.is === "unchanged" && task.verb === "delete")) {
      for (const change of changes) {
        change.done = task.verb === "clear" && this.isMoving() ? Infinity : received;
        change.version = answer.is === "done" ? answer.version : 0;
      }
    } else if (answer.is === "unchanged") for (const change of changes) change.sent = Infinity;
  }

  private changesOf(task: Task, turn: number, sent: number): Change[] {
    const by = this.actor;
    const plain = { by, turn, sent, done: Infinity, version: 0, ttlMs: Infinity };
    switch (task.verb) {
      case "put":
      case "append": {
        const ttlMs = task.verb === "put" ? (task.ttlMs ?? Infinity) : Infinity;
        return [this.history.changed({ ...plain, key: task.key, value: `w${task.id}`, ttlMs })];
      }
      case "delete":
        return [this.history.changed({ ...plain, key: task.key, value: null })];
      case "clear":
        return task.keys.map((key) => this.history.changed({ ...plain, key, value: null }));
      default:
        return [];
    }
  }
}

/** A connection that does tasks; after `lost` it is of no more use. */
export interface Client {
  do(tasks: readonly Task[]): Promise<void>;
  close(): void;
}

export class FrameClient implements Client {
  private constructor(
    private readonly wire: WireClient,
    private readonly notes: Notes,
  ) {}

  static async connect(url: string, notes: Notes): Promise<FrameClient> {
    return new FrameClient(await WireClient.connect(url), notes);
  }

  async do(tasks: readonly Task[]): Promise<void> {
    const ends = tasks.map((task) => this.notes.begin(task));
    this.wire.send(...tasks.map((task) => this.frameOf(task)));
    for (const [at, end] of ends.entries())
      try {
        end(answerOf(tasks[at]!, await this.wire.reply()));
      } catch (error) {
        if (!/closed/.test(String(error))) throw error;
        throw new ConnectionGone();
      }
  }

  close(): void {
    this.wire.close();
  }

  private frameOf(task: Task): Buffer {
    const ttl = "ttlMs" in task && task.ttlMs !== undefined ? { ttlMs: BigInt(task.ttlMs) } : {};
    switch (task.verb) {
      case "get":
        return request({ op: 1, flags: FLAG.META, key: task.key });
      case "put": {
        const isAbsent = task.condition === "absent";
        const version =
          task.condition === "version" ? { version: BigInt(this.notes.seen.get(task.key) ?? 1) } : {};
        const flags = FLAG.RETURN_VERSION | (isAbsent ? FLAG.IF_ABSENT : 0);
        return request({ op: 2, flags, key: task.key, value: partOf(task.id), ...ttl, ...version });
      }
      case "append":
        return request({ op: 6, key: task.key, value: partOf(task.id) });
      case "touch":
        return request({ op: 4, key: task.key, ...ttl });
      case "delete":
        return request({ op: 3, key: task.key });
      case "clear":
        return request({ op: 9, key: task.prefix });
    }
  }
}

/** Thrown by a client whose connection has ended. */
export class ConnectionGone extends Error {}

function answerOf(task: Task, reply: Reply): Answer {
  switch (reply.status) {
    case "META_VALUE":
      return { is: "value", value: reply.value, version: Number(reply.version) };
    case "MISS":
      return task.verb === "get" ? { is: "none" } : { is: "unchanged" };
    case "REFUSED":
      return { is: "unchanged" };
    case "OK":
      return { is: "done", version: 0 };
    case "NUMBER":
      return { is: "done", version: task.verb === "put" ? Number(reply.number) : 0 };
    case "ERROR":
      if (reply.code === BUSY) return { is: "busy", message: reply.message };
      break;
  }
  throw new Error(`${task.verb} was answered with ${JSON.stringify(reply)}`);
}

/** Arrays of requests as text, over a WebSocket. */
export class TextClient implements Client {
  private constructor(
    private readonly wire: WireClient,
    private readonly notes: Notes,
  ) {}

  static async connect(url: string, notes: Notes): Promise<TextClient> {
    return new TextClient(await WireClient.connect(url), notes);
  }

  async do(tasks: readonly Task[]): Promise<void> {
    const ends = tasks.map((task) => this.notes.begin(task));
    let answers: { status: string; code?: string; message?: string; value?: string; version?: number }[];
    try {
      answers = await this.wire.askJson(tasks.map((task) => this.jsonOf(task)));
    } catch (error) {
      if (!/closed/.test(String(error))) throw error;
      throw new ConnectionGone();
    }
    if (answers.length !== tasks.length)
      throw new Error(`${answers.length} answers to ${tasks.length} requests`);
    answers.forEach((answer, at) => {
      const task = tasks[at]!;
      const { status, code, message = "", value, version = 0 } = answer;
      if (code === "BUSY") ends[at]!({ is: "busy", message });
      else if (status === "OK" && task.verb === "get")
        ends[at]!({ is: "value", value: Buffer.from(value!), version });
      else if (status === "OK") ends[at]!({ is: "done", version: task.verb === "put" ? version : 0 });
      else if (status === "MISS" && task.verb === "get") ends[at]!({ is: "none" });
      else if (status === "MISS" || status === "REFUSED") ends[at]!({ is: "unchanged" });
      else
        throw new Error(`${JSON.stringify(task)} was answered with ${JSON.stringify(answer).slice(0, 300)}`);
    });
  }

  close(): void {
    this.wire.close();
  }

  private jsonOf(task: Task): object {
    const { verb: op } = task;
    const ttl = "ttlMs" in task && task.ttlMs !== undefined ? { ttl: task.ttlMs } : {};
    switch (task.verb) {
      case "put": {
        const { key, id, condition } = task;
        const version = condition === "version" && { ifVersion: this.notes.seen.get(key) ?? 1 };
        return {
          op,
          key,
          value: partOf(id).toString(),
          ...(condition === "absent" && { if: "absent" }),
          ...version,
          ...ttl,
        };
      }
      case "append":
        return { op, key: task.key, value: partOf(task.id).toString() };
      case "clear":
        return { op, prefix: task.prefix };
      default:
        return { op, key: task.key, ...ttl };
    }
  }
}

/** /kv: reads, writes and their conditions. What it cannot say it leaves out. */
export class HttpClient implements Client {
  constructor(
    private readonly base: string,
    private readonly notes: Notes,
  ) {}

  async do(tasks: readonly Task[]): Promise<void> {
    for (const task of tasks) {
      const init = this.requestOf(task);
      if (init === null) continue;
      const end = this.notes.begin(task);
      try {
        const response = await fetch(this.urlOf(task), init);
        end(await this.answerOf(task, response));
      } catch (error) {
        if (!isGone(error)) throw error;
        throw new ConnectionGone();
      }
    }
  }

  close(): void {}

  private urlOf(task: Task): string {
    const ttl = task.verb === "put" && task.ttlMs !== undefined ? `?ttl=${task.ttlMs}` : "";
    return `${this.base}/kv/${encodeURIComponent((task as { key: string }).key)}${ttl}`;
  }

  private requestOf(task: Task): RequestInit | null {
    if (task.verb === "get") return {};
    if (task.verb === "delete") return { method: "DELETE" };
    if (task.verb !== "put") return null;
    const headers: Record<string, string> = {};
    if (task.condition === "absent") headers["If-None-Match"] = "*";
    if (task.condition === "version") headers["If-Match"] = `"${this.notes.seen.get(task.key) ?? 1}"`;
    return { method: "PUT", body: partOf(task.id) as Buffer<ArrayBuffer>, headers };
  }

  private async answerOf(task: Task, response: Response): Promise<Answer> {
    const body = Buffer.from(await response.arrayBuffer());
    const version = Number((response.headers.get("etag") ?? '"0"').replaceAll('"', ""));
    if (response.status === 503) return { is: "busy", message: body.toString() };
    if (response.status === 200) return { is: "value", value: body, version };
    if (response.status === 204) return { is: "done", version: task.verb === "put" ? version : 0 };
    if (response.status === 404) return task.verb === "get" ? { is: "none" } : { is: "unchanged" };
    if (response.status === 412) return { is: "unchanged" };
    throw new Error(`${JSON.stringify(task)} was answered with ${response.status} ${body}`);
  }
}

/** The client library, with a near cache. */
export class NearClient implements Client {
  private constructor(
    private readonly cache: Cache,
    private readonly notes: Notes,
  ) {}

  static async connect(url: string, maxAgeMs: number, notes: Notes): Promise<NearClient> {
    return new NearClient(await connect(url, { near: { maxAgeMs }, timeoutMs: 60_000 }), notes);
  }

  async do(tasks: readonly Task[]): Promise<void> {
    for (const task of tasks) {
      const end = this.notes.begin(task);
      try {
        end(await this.one(task));
      } catch (error) {
        if (!(error instanceof CacheError)) throw error;
        const { code, message } = error;
        if (code === "busy" && !error.mayHaveHappened) end({ is: "busy", message });
        else if (code === "busy" || code === "disconnected" || error.mayHaveHappened) end({ is: "lost" });
        else throw error;
      }
    }
  }

  close(): void {
    void this.cache.close();
  }

  private async one(task: Task): Promise<Answer> {
    const { cache } = this;
    const ttl = "ttlMs" in task && task.ttlMs !== undefined ? { ttlMs: task.ttlMs } : {};
    switch (task.verb) {
      case "get": {
        const value = await cache.get(task.key);
        return value === null ? { is: "none" } : { is: "value", value: Buffer.from(value), version: 0 };
      }
      case "put": {
        const condition = task.condition === "absent" ? { ifAbsent: true } : {};
        const version = await cache.put(task.key, partOf(task.id), { ...ttl, ...condition });
        return version === null ? { is: "unchanged" } : { is: "done", version };
      }
      case "append":
        return (await cache.append(task.key, partOf(task.id)))
          ? { is: "done", version: 0 }
          : { is: "unchanged" };
      case "touch":
        return (await cache.touch(task.key, ttl)) ? { is: "done", version: 0 } : { is: "unchanged" };
      case "delete":
        return (await cache.delete(task.key)) ? { is: "done", version: 0 } : { is: "unchanged" };
      case "clear":
        await cache.clear(task.prefix);
        return { is: "done", version: 0 };
    }
  }
}

/** In words of Bun or of ours. */
function isGone(error: unknown): boolean {
  const { code, message } = error as { code?: string; message: string };
  const codes = ["ECONNRESET", "ECONNREFUSED", "ConnectionRefused", "ConnectionClosed", "FailedToOpenSocket"];
  return codes.includes(code ?? "") || /connection was closed|not connected|socket/i.test(message);
}
