/**
 * A client with a near cache, written from the rules of the protocol's page, over a session in this thread: what is sent is answered at
 * once, unless the socket takes nothing.
 */
import type { Session } from "../../src/ws/session";
import { isPush, type PushFrame, pushes, type Reply, replies } from "./frames";
import type { NotedSocket } from "./small-session";
import { getWatched, get, ping, watch } from "./stream-requests";

const NEVER = 2n ** 63n;

export interface Held {
  /** Of an absence that is kept: 0. */
  version: bigint;
  value: string | null;
}

export class NearClient {
  readonly near = new Map<string, Held>();
  resets = 0;
  changes = 0;
  /** Keys that were asked for and not answered, with the version below which an answer is old already. */
  private readonly pending = new Map<string, bigint>();
  /** What was sent and not answered: the key of a read, or null. */
  private readonly asked: (string | null)[] = [];

  constructor(
    private readonly session: Session,
    readonly socket: NotedSocket,
    /** Watches these by their prefix, all others one by one. */
    private readonly prefix: string | null,
  ) {
    if (prefix !== null) this.send([watch(prefix)], [null]);
  }

  /** Reads keys into the near cache, all in one message. */
  read(keys: readonly string[]): void {
    const wanted = [...new Set(keys)].filter((key) => !this.pending.has(key));
    for (const key of wanted) this.pending.set(key, 0n);
    this.send(
      wanted.map((key) => this.readOf(key)),
      wanted,
    );
  }

  /** What is held when the server has answered what was asked before is what was told before that. */
  prove(): void {
    this.send([ping()], [null]);
  }

  /** Other requests; copies of the key they write are dropped. */
  write(key: string, bytes: Buffer): void {
    this.near.delete(key);
    this.send([bytes], [null]);
  }

  /** Whether all that was sent is answered. */
  get isQuiet(): boolean {
    return this.asked.length === 0;
  }

  /** Takes in what has come. */
  hear(): void {
    for (const message of this.socket.sent.splice(0)) {
      if (typeof message === "string") throw new Error(`text: ${message}`);
      if (isPush(message)) for (const push of pushes(message)) this.hearPush(push);
      else for (const reply of replies(message)) this.hearReply(reply);
    }
  }

  private readOf(key: string): Buffer {
    if (this.prefix !== null && key.startsWith(this.prefix)) return get(key);
    const held = this.near.get(key);
    return held === undefined || held.value === null ? getWatched(key) : getWatched(key, held.version);
  }

  private send(requests: readonly Buffer[], asked: readonly (string | null)[]): void {
    if (requests.length === 0) return;
    this.asked.push(...asked);
    this.session.receive(Buffer.concat(requests));
    this.hear();
  }

  private hearPush(push: PushFrame): void {
    if (push.push === "FILLED") throw new Error("nobody waits for anything");
    if (push.push === "RESET") {
      this.resets++;
      for (const key of [...this.near.keys()]) if (key.startsWith(push.prefix)) this.near.delete(key);
      for (const key of this.pending.keys()) if (key.startsWith(push.prefix)) this.pending.set(key, NEVER);
      return;
    }
    for (const { key, version } of push.keys) {
      this.changes++;
      const held = this.near.get(key);
      if (held !== undefined && (version === 0n || held.version < version)) this.near.delete(key);
      const floor = this.pending.get(key);
      if (floor !== undefined)
        this.pending.set(key, version === 0n ? NEVER : floor > version ? floor : version);
    }
  }

  private hearReply(reply: Reply): void {
    const key = this.asked.shift();
    if (key === undefined) throw new Error("a reply to nothing");
    if (key === null) return;
    const floor = this.pending.get(key)!;
    this.pending.delete(key);
    if (reply.status === "META_VALUE" && reply.version >= floor)
      this.near.set(key, { version: reply.version, value: reply.value.toString() });
    else if (reply.status === "MISS" && floor === 0n) this.near.set(key, { version: 0n, value: null });
    // Of CURRENT the copy stays, unless a push has taken it: a copy that is not there is not there.
    else if (reply.status !== "CURRENT") this.near.delete(key);
  }
}
