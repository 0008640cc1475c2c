/**
 * The main thread. It reserves the memory, starts the workers, replaces one that dies, and drains them all.
 * It serves no requests and never waits for a shard.
 *
 *   main thread   supervisor ─start, renew, drain─▶ worker 0 … worker N-1   (one thread each, listening on the same port)
 *                      ▲──ready, renewed, close───┘
 *   memory        one block a shard, one tally: read and written by all workers
 */
import type { Credentials } from "../access/credentials";
import type { Settings } from "../config/config";
import { Count, createTallyMemory, Tally } from "../commands/tally";
import { createCountsMemory } from "../origin/counts";
import { createTrustMemory } from "../origin/trust";
import { type Log, stackOf } from "../system/log";
import { entryUrl } from "../system/program";
import type { Bells } from "../streaming/bells";
import { createStreamMemory, type StreamMemory, streamSizesFor } from "../streaming/memory";
import { clockOf, newEpoch } from "../worker/clock";
import type { FromWorker, ToWorker } from "../worker/orders";
import { Backoff } from "./backoff";
import { widenBacklog } from "./backlog";
import { watchFiles } from "./files";
import { Keeper } from "./keeper";
import { lockHolders, observeAll, recoverShards } from "./locks";
import { claimPort, type PortClaim } from "./port";
import { Takeover } from "./takeover";
import { LOOKS, Verdict, Watchdog } from "./watchdog";

const WORKER_URL = entryUrl("worker/main");

/** Threads that are terminated end within this time, unless they are in a native call. */
const END_MS = 1000;

export interface SupervisorOptions {
  settings: Settings;
  credentials: Credentials;
  version: string;
  log: Log;
  /** Files that the process may have open. */
  filesMax: number;
  /** A worker hangs and cannot be ended; its share of the connections would hang with it. */
  onStuck: () => void;
  /** Another worker program (tests cause faults in it). */
  workerUrl?: URL;
  /** Another pace of replacing dead workers (tests kill many). */
  newBackoff?: () => Pick<Backoff, "next">;
}

interface Seat {
  readonly index: number;
  worker: Worker | null;
  startedAt: number;
  /** UP: the thread runs and waits for its order. */
  phase: "BEGINS" | "UP" | "STARTED" | "READY";
  /** Orders to renew that it has not confirmed. */
  renewals: number;
  readonly backoff: Pick<Backoff, "next">;
  restart: ReturnType<typeof setTimeout> | null;
}

export class Supervisor {
  /** The port in use, once started. */
  port = 0;
  private readonly settings: Settings;
  private credentials: Credentials;
  private readonly log: Log;
  private readonly workerUrl: URL;
  private readonly seats: Seat[] = [];
  private epoch = 0;
  private startedAt = 0;
  private keeper!: Keeper;
  private takeover!: Takeover;
  private streams!: StreamMemory;
  private bells!: Bells;
  private tallyMemory!: SharedArrayBuffer;
  private trust: SharedArrayBuffer | null = null;
  private originCounts: SharedArrayBuffer | null = null;
  private claim: PortClaim | null = null;
  private draining = false;
  /** A thread could not be ended, and may still write to the store. */
  private stuck = false;
  private onReady: { resolve: () => void; reject: (error: Error) => void } | null = null;
  private onDrained: (() => void) | null = null;
  private readonly onRenewed: (() => void)[] = [];
  private stopWatchingFiles = () => {};
  private readonly watchdog = new Watchdog({
    beatsOf: (index) => this.rowOf(index).own(Count.HEARTBEATS),
    lockHolders: () => lockHolders(this.keeper.store, this.seats.length),
  });
  private looking: ReturnType<typeof setInterval> | null = null;

  constructor(private readonly options: SupervisorOptions) {
    this.settings = options.settings;
    this.credentials = options.credentials;
    this.log = options.log;
    this.workerUrl = options.workerUrl ?? WORKER_URL;
  }

  /** Resolves when every worker serves. Throws PortError, or RangeError when the memory can't be had. */
  async start(): Promise<void> {
    const { settings } = this;
    this.claim = await claimPort(settings.host, settings.port);
    this.port = this.claim.port;
    this.keeper = Keeper.open(settings, this.log);
    this.epoch = newEpoch(this.keeper.clockNow);
    this.startedAt = this.clock();
    const inherited = this.keeper.inheritance === null ? 0 : settings.shards;
    this.takeover = new Takeover(inherited, settings.workers, this.log);
    if (this.takeover.isDone) this.keeper.startBeating(() => this.clock());
    this.streams = createStreamMemory(streamSizesFor(settings));
    this.bells = observeAll(this.keeper.store, this.streams);
    this.tallyMemory = createTallyMemory(settings.workers);
    if (settings.origin !== null) {
      this.trust = createTrustMemory(this.clock());
      this.originCounts = createCountsMemory(settings.workers);
    }
    const ready = new Promise<void>((resolve, reject) => {
      this.onReady = { resolve, reject };
    });
    for (let index = 0; index < settings.workers; index++) {
      const seat: Seat = {
        index,
        worker: null,
        startedAt: 0,
        phase: "BEGINS",
        renewals: 0,
        backoff: this.options.newBackoff?.() ?? new Backoff(),
        restart: null,
      };
      this.seats.push(seat);
      this.seatWorker(seat);
    }
    await ready;
    this.looking = setInterval(() => this.lookForHangs(), this.heartbeatMs);
    this.stopWatchingFiles = watchFiles(this.options.filesMax, (isNews) => this.freeFiles(isNews));
  }

  /** All workers, and those that will replace one, go on with these; resolves when they do. */
  renew(credentials: Credentials): Promise<void> {
    this.credentials = credentials;
    for (const seat of this.seats) {
      if (seat.worker === null || this.draining) continue;
      seat.renewals += 1;
      this.tell(seat, { type: "renew", credentials });
    }
    return new Promise((resolve) => {
      this.onRenewed.push(resolve);
      this.noteRenewed();
    });
  }

  /** Drains: resolves true when every worker has answered what it had, false when the timeout ended that. */
  async stop(): Promise<boolean> {
    this.draining = true;
    this.claim?.release();
    this.stopWatchingFiles();
    if (this.looking !== null) clearInterval(this.looking);
    // It had not even begun.
    if (this.seats.length === 0) return true;
    for (const seat of this.seats) if (seat.restart !== null) clearTimeout(seat.restart);
    const drained = new Promise<boolean>((resolve) => {
      this.onDrained = () => resolve(true);
      setTimeout(() => resolve(false), this.settings.drainTimeoutMs);
    });
    for (const seat of this.seats) if (seat.worker !== null) this.tell(seat, { type: "drain" });
    this.noteDrained();
    const isWhole = await drained;
    const isOver = isWhole || (await this.endWorkers());
    this.takeover.end();
    this.keeper.close(isOver && this.takeover.isDone && !this.stuck, () => this.clock());
    return isWhole;
  }

  /** How the cache begins, where it is kept from one start to the next; else null. */
  get beginning(): string | null {
    return this.keeper.describe();
  }

  /** After the drain timeout: without its threads, the cache is whole all the same. False when some could not be ended. */
  private endWorkers(): Promise<boolean> {
    const ended = new Promise<boolean>((resolve) => {
      this.onDrained = () => resolve(true);
      setTimeout(() => resolve(false), END_MS);
    });
    for (const seat of this.seats) seat.worker?.terminate();
    return ended;
  }

  /** The store's clock. */
  private clock(): number {
    return clockOf(this.epoch)();
  }

  private seatWorker(seat: Seat): void {
    const worker = new Worker(this.workerUrl, { name: `breadbox worker ${seat.index}` });
    seat.worker = worker;
    seat.startedAt = performance.now();
    seat.phase = "BEGINS";
    worker.addEventListener("message", (event: MessageEvent<FromWorker>) => this.hear(seat, event.data));
    worker.addEventListener("error", (event: ErrorEvent) => {
      event.preventDefault();
      this.log.error(`worker ${seat.index}: ${event.error ? stackOf(event.error) : event.message}`);
    });
    worker.addEventListener("close", () => this.replace(seat));
  }

  private hear(seat: Seat, message: FromWorker): void {
    switch (message.type) {
      case "hello":
        seat.phase = "UP";
        if (this.draining) return this.tell(seat, { type: "drain" });
        return this.takeover.isDone ? this.startSeat(seat) : this.attachShare(seat);
      case "attached":
        this.takeover.note(message.shard, message.recovered);
        if (!this.takeover.isDone || this.draining) return;
        for (const waiting of this.seats) if (waiting.phase === "UP") this.startSeat(waiting);
        return;
      case "ready":
        seat.phase = "READY";
        this.keeper.startBeating(() => this.clock());
        this.watchdog.watch(seat.index);
        this.widenBacklog();
        this.log.debug(`worker ${seat.index} serves`);
        if (this.seats.every(({ phase }) => phase === "READY")) this.onReady?.resolve();
        return;
      case "renewed":
        seat.renewals -= 1;
        // A new certificate came with a new listener.
        this.widenBacklog();
        return this.noteRenewed();
      case "failed":
        this.log.error(`worker ${seat.index} cannot listen: ${message.reason}`);
        this.onReady?.reject(new Error(message.reason));
        return;
    }
  }

  private attachShare(seat: Seat): void {
    const shards = this.takeover.shareOf(seat.index);
    const { versionFloor } = this.keeper.inheritance!;
    this.tell(seat, { type: "attach", store: this.keeper.memory, shards, versionFloor });
  }

  private startSeat(seat: Seat): void {
    seat.phase = "STARTED";
    this.tell(seat, {
      type: "start",
      settings: { ...this.settings, port: this.port },
      credentials: this.credentials,
      store: this.keeper.memory,
      streams: this.streams,
      tally: this.tallyMemory,
      trust: this.trust,
      originCounts: this.originCounts,
      index: seat.index,
      version: this.options.version,
      heartbeatMs: this.heartbeatMs,
      epoch: this.epoch,
      startedAt: this.startedAt,
    });
  }

  private freeFiles(isNews: boolean): void {
    if (isNews)
      this.log.warn(
        `nearly all of the ${this.options.filesMax} open files are in use: HTTP connections that wait for a next request are closed; see "ulimit -n" and --max-connections`,
      );
    for (const seat of this.seats) this.tell(seat, { type: "close idle" });
  }

  private widenBacklog(): void {
    try {
      widenBacklog(this.settings.backlog);
    } catch (error) {
      this.log.debug(`the backlog stays as Bun sets it: ${(error as Error).message}`);
    }
  }

  /** A worker has ended: frees what it held, and starts another in its place. */
  private replace(seat: Seat): void {
    seat.worker = null;
    seat.phase = "BEGINS";
    seat.renewals = 0;
    this.watchdog.forget(seat.index);
    this.noteRenewed();
    recoverShards(this.keeper.store, this.bells, seat.index, this.log);
    this.rowOf(seat.index).clearGauges();
    if (this.draining) return this.noteDrained();
    const delay = seat.backoff.next(performance.now() - seat.startedAt);
    this.rowOf(seat.index).add(Count.RESTARTS, 1);
    this.log.warn(`worker ${seat.index} ended; another starts in ${delay} ms`);
    seat.restart = setTimeout(() => {
      seat.restart = null;
      this.seatWorker(seat);
    }, delay);
  }

  private get heartbeatMs(): number {
    return this.settings.workerTimeoutMs / LOOKS;
  }

  private rowOf(index: number): Tally {
    return new Tally(this.tallyMemory, index);
  }

  private lookForHangs(): void {
    for (const [index, verdict] of this.watchdog.look())
      if (verdict === Verdict.HANGS) this.endHanging(this.seats[index]!);
      else this.giveUp(this.seats[index]!);
  }

  /** Its end is reported by the same event as that of any worker; then it is replaced, and its locks are freed. */
  private endHanging(seat: Seat): void {
    this.log.error(`worker ${seat.index} hangs: silent for ${this.silence}; it is ended`);
    this.rowOf(seat.index).add(Count.HANGS, 1);
    seat.worker?.terminate();
  }

  /** Nothing waits for it any more. Its locks stay: nobody can tell what it still does. */
  private giveUp(seat: Seat): void {
    this.log.error(`worker ${seat.index} still hangs, ${this.silence} after it was to end: the server ends`);
    this.stuck = true;
    seat.worker = null;
    seat.renewals = 0;
    this.noteRenewed();
    this.options.onStuck();
  }

  private get silence(): string {
    return `${this.settings.workerTimeoutMs / 1000} s`;
  }

  private noteRenewed(): void {
    if (this.seats.some(({ renewals }) => renewals > 0)) return;
    for (const resolve of this.onRenewed.splice(0)) resolve();
  }

  private noteDrained(): void {
    if (this.seats.every(({ worker }) => worker === null)) this.onDrained?.();
  }

  private tell(seat: Seat, message: ToWorker): void {
    seat.worker?.postMessage(message);
  }
}
