/**
 * One connection to one master, over which it tells of every key that changes (CLIENT TRACKING ON BCAST), and by beats that this went well
 * until when. It lives once: whoever wants another one makes another one.
 *
 *   CONNECTING → GREETING (HELLO, CLIENT TRACKING) → BEATING → ENDED
 *
 * A beat is a read of a key in one of the master's slots, and the question what it owns. The next one is sent when the answer is there and the
 * time has come, never before.
 *
 * What an answer proves (the two-ping rule): a server may answer before it tells of a change that it executed earlier in the same turn of
 * its event loop, but what it tells of a turn it has written before it answers in a later one. Beat n is sent when the answer to beat n − 1 has been read, so
 * it is executed in a later turn. So before the answer to beat n comes all that changed before beat n − 1 was executed, hence before it was sent.
 * What arrives is handled in its order, at once. Why a key: a master that has lost touch with the others answers everything else for ever.
 */
import { encodeCommand, Resp3Failure, Resp3Parser, type Resp3Value, textOf } from "./resp3";
import type { Sink } from "./sink";
import { slotOf, SLOTS } from "./slots";
import { type Connect, type OriginSocket, parseEndpoint } from "./socket";
import { type View, viewOfCluster, viewOfServer } from "./view";

/** Time, so that tests can make it pass. */
export interface Timing {
  /** ms on the store's clock. */
  now(): number;
  /** Calls once; returns what prevents it. */
  after(ms: number, then: () => void): () => void;
}

export interface TrackingSettings {
  /** `bb:`, say: what all keys begin with. Without braces, so that keys can be in any slot. */
  readonly namespace: string;
  readonly maxAgeMs: number;
  /** Default: none is sent. */
  readonly password?: string;
  /** Default: the server's user `default`. */
  readonly user?: string;
}

/** Injected: how to connect and what time it is. */
export interface TrackingMeans {
  readonly connect: Connect;
  readonly timing: Timing;
}

/** The answer to a beat. */
export interface Beat {
  readonly view: View;
  /** All that the master changed before then is handled, ms on the store's clock; null where this beat proves nothing. */
  readonly provenAt: number | null;
}

export interface TrackingListener extends Omit<Sink, "missed"> {
  answered(beat: Beat): void;
  /** The connection has ended by itself. @param isLate because an answer did not come in time */
  lost(reason: string, isLate: boolean): void;
}

const BEAT_MS_MIN = 20;
/** Beats in the longest time that a copy may be served without a proof. */
const BEATS_PER_AGE = 4;
/** To connect and to be greeted may take longer than an answer. */
const GREETING_MS_MIN = 1000;
const PROBES_MAX = 1 << 20;

type Phase = "CONNECTING" | "GREETING" | "BEATING" | "ENDED";

export class Tracking {
  private phase: Phase = "CONNECTING";
  private readonly socket: OriginSocket;
  private readonly parser: Resp3Parser;
  private readonly answers: Resp3Value[] = [];
  private awaited = 0;
  private isCluster = false;
  private view: View | null = null;
  private probe: Probe | null = null;
  /** When the beat under way, or the last one, was sent; and the one before it. */
  private sentAt: number | null = null;
  private sentBefore: number | null = null;
  private cancelTimer = () => {};

  /** @param address `host:port`; throws when it is none */
  constructor(
    readonly address: string,
    private readonly settings: TrackingSettings,
    private readonly means: TrackingMeans,
    private readonly listener: TrackingListener,
  ) {
    const endpoint = parseEndpoint(address);
    if (endpoint === null) throw new Error(`${JSON.stringify(address)} is no address such as 127.0.0.1:7001`);
    this.parser = new Resp3Parser({
      reply: (value) => this.onReply(value),
      push: (items) => this.onPush(items),
    });
    this.awaitUntil(this.greetingMs, "connect");
    this.socket = means.connect(endpoint, {
      opened: () => this.greet(),
      received: (bytes) => this.receive(bytes),
      ended: (reason) => this.end(reason),
    });
  }

  /** Ends it; the listener hears nothing more. */
  close(): void {
    if (this.phase === "ENDED") return;
    this.phase = "ENDED";
    this.cancelTimer();
    this.socket.close();
  }

  /** Throws where the state contradicts itself; for tests. */
  invariants(): void {
    if (this.phase === "ENDED") return;
    this.parser.invariants();
    if (this.answers.length > 0 && this.answers.length >= this.awaited) throw new Error("answers lie unread");
    if (this.phase !== "BEATING" && this.view !== null) throw new Error("a view came before the first beat");
    if (this.sentBefore !== null && this.sentBefore > this.sentAt!)
      throw new Error("beats went back in time");
  }

  private get greetingMs(): number {
    return Math.max(GREETING_MS_MIN, this.settings.maxAgeMs);
  }

  private greet(): void {
    const { namespace, password, user = "default" } = this.settings;
    const signIn = password === undefined ? [] : ["AUTH", user, password];
    this.phase = "GREETING";
    this.awaitUntil(this.greetingMs, "greet");
    this.ask(
      encodeCommand("HELLO", "3", ...signIn, "SETNAME", "breadbox"),
      encodeCommand("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", namespace),
    );
  }

  private onGreeted([hello, tracking]: Resp3Value[]): void {
    if (!(hello instanceof Map)) return this.end(`HELLO: ${reasonOf(hello)}`);
    if (tracking instanceof Resp3Failure) return this.end(`CLIENT TRACKING: ${tracking.message}`);
    this.isCluster = textOf(hello.get("mode")) === "cluster";
    this.phase = "BEATING";
    this.beat();
  }

  private beat(): void {
    this.sentBefore = this.sentAt;
    this.sentAt = this.means.timing.now();
    this.probe = this.view === null ? null : probeFor(this.view.slots, this.settings.namespace, this.probe);
    this.awaitUntil(this.settings.maxAgeMs, "beat");
    this.ask(
      this.isCluster ? encodeCommand("CLUSTER", "NODES") : encodeCommand("HELLO", "3"),
      ...(this.probe === null ? [] : [encodeCommand("EXISTS", this.probe.key)]),
    );
  }

  private onBeat([nodes, exists]: Resp3Value[]): void {
    try {
      this.view = this.viewOf(nodes!);
    } catch (error) {
      return this.end((error as Error).message);
    }
    const isAsk = exists instanceof Resp3Failure && exists.code === "ASK";
    if (isAsk) this.probe = { ...this.probe!, isUsedUp: true };
    const isHeard = isAsk || typeof exists === "number";
    const isFirst = this.sentBefore === null;
    this.wait(isFirst ? 0 : this.sentAt! + this.beatMs - this.means.timing.now());
    this.listener.answered({ view: this.view, provenAt: isHeard ? this.sentBefore : null });
  }

  private get beatMs(): number {
    return Math.max(BEAT_MS_MIN, this.settings.maxAgeMs / BEATS_PER_AGE);
  }

  private viewOf(answer: Resp3Value): View {
    if (answer instanceof Resp3Failure) throw new Error(answer.message);
    if (!this.isCluster && answer instanceof Map) return viewOfServer(answer, this.address);
    if (answer instanceof Uint8Array) return viewOfCluster(textOf(answer), this.address, this.view);
    throw new Error("an answer of another kind than it was asked for");
  }

  private ask(...commands: Buffer[]): void {
    this.awaited = commands.length;
    this.socket.write(Buffer.concat(commands));
  }

  private receive(bytes: Uint8Array): void {
    try {
      this.parser.take(bytes);
    } catch (error) {
      this.end((error as Error).message);
    }
  }

  private onReply(value: Resp3Value): void {
    if (this.phase === "ENDED") return;
    this.answers.push(value);
    if (this.answers.length > this.awaited) return this.end("an answer to nothing");
    if (this.answers.length < this.awaited) return;
    this.awaited = 0;
    const answers = this.answers.splice(0);
    if (this.phase === "GREETING") this.onGreeted(answers);
    else this.onBeat(answers);
  }

  private onPush([kind, keys]: Resp3Value[]): void {
    if (this.phase === "ENDED" || kind === undefined || textOf(kind) !== "invalidate") return;
    if (keys === null) return this.listener.changedAll();
    if (!Array.isArray(keys)) return this.end("an invalidation without keys");
    for (const key of keys) if (key instanceof Uint8Array) this.listener.changed(key);
  }

  private wait(ms: number): void {
    this.cancelTimer();
    this.cancelTimer = this.means.timing.after(Math.max(0, ms), () => this.beat());
  }

  /** Where our own event loop was late, the answer may have come and not been read yet: then it gets a beat's time more, once. */
  private awaitUntil(ms: number, what: string): void {
    const { timing } = this.means;
    const due = timing.now() + ms;
    const onLate = () => this.end(`no answer within ${Math.round(ms)} ms (${what})`, true);
    this.cancelTimer();
    this.cancelTimer = timing.after(ms, () => {
      if (timing.now() - due < this.beatMs / 2) onLate();
      else this.cancelTimer = timing.after(this.beatMs, onLate);
    });
  }

  private end(reason: string, isLate = false): void {
    if (this.phase === "ENDED") return;
    this.close();
    this.listener.lost(reason, isLate);
  }
}

/** A key of a slot, to be asked for. */
interface Probe {
  readonly key: string;
  readonly number: number;
  readonly slots: Uint16Array;
  /** The slot is on its way to another node. */
  readonly isUsedUp: boolean;
}

/** A key in one of the slots: the last one, while that is good. Null where there is no slot. */
function probeFor(slots: Uint16Array, namespace: string, last: Probe | null): Probe | null {
  if (slots.length === 0) return null;
  if (last?.slots === slots && !last.isUsedUp) return last;
  const owned = new Uint8Array(SLOTS);
  for (const slot of slots) owned[slot] = 1;
  const first = last === null ? 0 : last.number + 1;
  for (let number = first; number < first + PROBES_MAX; number++) {
    const key = Buffer.from(`${namespace}{${number}}`);
    if (owned[slotOf(key, 0, key.length)] === 1)
      return { key: key.toString(), number, slots, isUsedUp: false };
  }
  return null;
}

function reasonOf(answer: Resp3Value | undefined): string {
  return answer instanceof Resp3Failure ? answer.message : "an answer of another kind";
}
