/**
 * How workers tell each other that there is news in a journal, and whether anybody wants news at all.
 *
 *   line 0       how many workers listen, and LEASES_USED │ version of the watched prefixes (prefixes.ts) │ 14 unused
 *   line n + 1   of worker n: its bell │ whether it listens │ how often it has died │ 13 unused
 *
 * A bell is 1 while there is news that its worker has not begun to read, else 0. Writers set it under a shard's lock, right after the
 * journal's entry. A worker takes the news (sets 0) before it reads, and looks at its bell before it sends a reply: whatever was told before
 * the reply's reads is found. So the bell alone keeps the order; waking is for workers that have nothing to do.
 *
 * Waking a sleeping thread takes a system call, so it comes after the lock, at the end of the writer's turn, at most once a
 * millisecond for each worker. Whoever turned the bell from 0 to 1 has to wake. If it dies before that, the worker's own timer
 * finds the bell.
 *
 * LISTENING only ever errs to more: it is raised before the worker's own word, and lowered after it. A worker listens before its
 * first watching read, and a write looks at the word under the lock, so after such a read's unlock every write there sees it.
 */
import { bitOf, LINE_WORDS, type StreamPlan, WORKER_BITS } from "./memory";

const LISTENING = 0;
/** Bit of LISTENING: somebody has asked for a lease since the start. */
export const LEASES_USED = 1 << 30;
const BELL = 0;
const LISTENS = 1;
const DEATHS = 2;
const QUIET = 0;
const RUNG = 1;
const WAKE_INTERVAL_MS = 1;

export class Bells {
  private readonly words: Int32Array;
  private readonly workers: number;
  private readonly own: number;
  /** Workers that this one has to wake. */
  private readonly toWake: number[] = [];
  private isWakingSoon = false;
  private readonly wokenAt: Float64Array;
  private isWaiting = false;
  private readonly wakeThem = () => this.wake();

  /**
   * @param worker this one, or NO_WORKER
   * @param onNews the own bell was rung while nothing else was done here
   */
  constructor(
    { memory, layout }: StreamPlan,
    private readonly worker: number,
    private readonly onNews: () => void,
  ) {
    const { workers } = memory.sizes;
    this.words = new Int32Array(memory.common, layout.bells * 4, LINE_WORDS * (workers + 1));
    this.workers = workers;
    this.own = lineOf(worker);
    this.wokenAt = new Float64Array(workers).fill(-Infinity);
  }

  /**
   * One word: 0 while no write has to be told to anybody; the bit LEASES_USED when there may be leases. Read under a shard's
   * lock, which orders it: no atomic load is needed.
   */
  get listening(): Int32Array {
    return this.words;
  }

  get listens(): boolean {
    return this.words[this.own + LISTENS] !== 0;
  }

  /** This worker wants news from now on. */
  listen(): void {
    if (this.listens) return;
    Atomics.add(this.words, LISTENING, 1);
    Atomics.store(this.words, this.own + LISTENS, 1);
    Atomics.store(this.words, this.own + BELL, QUIET);
    this.waitForNews();
  }

  stopListening(): void {
    stop(this.words, this.own);
  }

  noteLeasesUsed(): void {
    Atomics.or(this.words, LISTENING, LEASES_USED);
  }

  /** Bits of all workers that listen. */
  listeners(): number {
    let bits = 0;
    for (let worker = 0; worker < this.workers; worker++)
      if (this.words[lineOf(worker) + LISTENS] !== 0) bits |= bitOf(worker);
    return bits;
  }

  /** There is news for the workers of these bits; under a shard's lock. */
  ring(bits: number): void {
    for (let left = bits; left !== 0; left &= left - 1) {
      const first = 31 - Math.clz32(left & -left);
      for (let worker = first; worker < this.workers; worker += WORKER_BITS) this.ringOne(worker);
    }
  }

  /** Whether there is news for this worker. */
  get isRung(): boolean {
    return Atomics.load(this.words, this.own + BELL) !== QUIET;
  }

  /** The news will be read now. */
  take(): void {
    Atomics.store(this.words, this.own + BELL, QUIET);
  }

  /** How often workers have died. */
  deathsOf(worker: number): number {
    return Atomics.load(this.words, lineOf(worker) + DEATHS);
  }

  get deaths(): number {
    let sum = 0;
    for (let worker = 0; worker < this.workers; worker++) sum += this.deathsOf(worker);
    return sum;
  }

  /** A worker's thread has ended: it listens no more, and everybody may look what it held. For the supervisor. */
  noteDeath(worker: number): void {
    Atomics.add(this.words, lineOf(worker) + DEATHS, 1);
    stop(this.words, lineOf(worker));
    for (let other = 0; other < this.workers; other++) this.ringOne(other);
    this.wake();
  }

  /**
   * A bell that rings already is left alone: its worker takes it before it reads the journals, so it has the entry still before it.
   * Loads and stores of Atomics have one order for all threads.
   */
  private ringOne(worker: number): void {
    if (Atomics.load(this.words, lineOf(worker) + BELL) === RUNG) return;
    if (Atomics.exchange(this.words, lineOf(worker) + BELL, RUNG) === RUNG) return;
    this.toWake.push(worker);
    if (this.isWakingSoon) return;
    this.isWakingSoon = true;
    queueMicrotask(this.wakeThem);
  }

  /** Wakes those whose bells this worker has rung; those that were woken a moment ago, a little later. */
  private wake(): void {
    this.isWakingSoon = false;
    const now = performance.now();
    for (let left = this.toWake.length; left > 0; left--) {
      const worker = this.toWake.pop()!;
      if (worker === this.worker) this.onNews();
      else if (now - this.wokenAt[worker]! >= WAKE_INTERVAL_MS) {
        this.wokenAt[worker] = now;
        Atomics.notify(this.words, lineOf(worker) + BELL, 1);
      } else this.toWake.unshift(worker);
    }
    if (this.toWake.length === 0) return;
    this.isWakingSoon = true;
    setTimeout(this.wakeThem, WAKE_INTERVAL_MS);
  }

  /** One wait at a time; it ends when the bell is rung and this worker is woken. */
  private waitForNews(): void {
    if (this.isWaiting) return;
    const wait = Atomics.waitAsync(this.words, this.own + BELL, QUIET);
    if (!wait.async) {
      // There is news already. Whoever writes all the time must not keep this worker from its event loop.
      setImmediate(() => this.hear());
      return;
    }
    this.isWaiting = true;
    void wait.value.then(() => {
      this.isWaiting = false;
      this.hear();
    });
  }

  private hear(): void {
    if (!this.listens) return;
    this.onNews();
    this.waitForNews();
  }
}

/** The first word of a worker's line. */
function lineOf(worker: number): number {
  return LINE_WORDS * (worker + 1);
}

function stop(words: Int32Array, line: number): void {
  if (Atomics.exchange(words, line + LISTENS, 0) !== 0) Atomics.sub(words, LISTENING, 1);
}
