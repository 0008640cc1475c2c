/**
 * The lock of one shard: one word, 0 when free, else the owner's number, with a bit set while somebody sleeps for it.
 *
 * Why it is correct:
 * - Taking is one compare-and-exchange from 0, so two threads never both see success. Atomics are sequentially
 *   consistent, so whatever the last owner wrote is seen by the next.
 * - A sleeper reads the bell, then sets WAITED in the word of an owner that it has seen, then sleeps for as long as the bell is
 *   what it was (Atomics.wait compares and sleeps in one step). Who releases and finds WAITED rings the bell, which is
 *   after it was set and so after it was read: a release between the two is never missed. The thread that wakes takes the lock
 *   with WAITED kept, which may wake one thread in vain and never leaves one asleep; the time limit of each sleep bounds even that.
 * - An owner that died leaves its number behind. Only the supervisor may free such a lock, and only after the
 *   thread has ended (see Shard.recover), so nobody is ever inside together with another.
 */
import { W } from "./layout";

/** Owner numbers are 1 to OWNER_MAX; worker n owns as n + 1. */
export const OWNER_MAX = 0xffff;
const WAITED = 0x10000;
const SPINS_MAX = 200;
const SLEEP_MS = 20;
/** A shard that stays locked this long belongs to a dead worker that nobody replaced: the request gives up. */
const WAIT_MS_MAX = 5_000;

/** Thrown when a shard stays locked; nothing was changed, trying again later is safe. */
export class ShardBusyError extends Error {
  override name = "ShardBusyError";
}

/** Takes the lock if it is free; never waits. */
export function tryAcquire(words: Int32Array, owner: number): boolean {
  return Atomics.compareExchange(words, W.LOCK, 0, owner) === 0;
}

/** Frees the lock; true when somebody sleeps for it, and is to be woken. */
export function release(words: Int32Array): boolean {
  return (Atomics.exchange(words, W.LOCK, 0) & WAITED) !== 0;
}

export function wake(bell: Int32Array): void {
  Atomics.add(bell, 0, 1);
  Atomics.notify(bell, 0, 1);
}

/** Frees the lock of memory that an earlier process left. Before any thread of this one uses it. */
export function forgetOwner(words: Int32Array): void {
  Atomics.store(words, W.LOCK, 0);
}

export class Lock {
  constructor(
    private readonly words: Int32Array,
    private readonly bell: Int32Array,
    private readonly owner: number,
    private readonly waitMsMax = WAIT_MS_MAX,
  ) {}

  /** Takes the lock; true when it had to wait for it. Throws ShardBusyError after waitMsMax. */
  acquire(): boolean {
    if (tryAcquire(this.words, this.owner)) return false;
    this.acquireSlowly();
    return true;
  }

  release(): void {
    if (release(this.words)) wake(this.bell);
  }

  private acquireSlowly(): void {
    for (let spin = 0; spin < SPINS_MAX; spin++) {
      Atomics.pause();
      if (tryAcquire(this.words, this.owner)) return;
    }
    for (let slept = 0; slept < this.waitMsMax / SLEEP_MS;) {
      const rung = Atomics.load(this.bell, 0);
      const seen = Atomics.load(this.words, W.LOCK);
      if (seen === 0) {
        if (Atomics.compareExchange(this.words, W.LOCK, 0, this.owner | WAITED) === 0) return;
      } else if (seen & WAITED || Atomics.compareExchange(this.words, W.LOCK, seen, seen | WAITED) === seen) {
        if (Atomics.wait(this.bell, 0, rung, SLEEP_MS) === "timed-out") slept++;
      }
    }
    const holder = ownerOf(this.words);
    throw new ShardBusyError(`a shard stayed locked by owner ${holder} for ${this.waitMsMax} ms`);
  }
}

/** Number of the lock's owner, 0 when it is free. */
export function ownerOf(words: Int32Array): number {
  return Atomics.load(words, W.LOCK) & OWNER_MAX;
}
