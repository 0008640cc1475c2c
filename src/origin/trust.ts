/**
 * Which copies of the cluster's values may be served from memory: a table that all threads see. Each slot has an epoch; a copy is stamped
 * with its slot's, and counts only while that epoch is the slot's and its master was proven lately.
 *
 *   slot     epoch (even: trusted, odd: not) │ owner: the master's place │ until, see staleFor
 *   master   proven, in ms, and once more in seconds: all that this master changed before then has been taken in
 *   hash     generation of the keys with these low bits, and one of all keys
 *
 * Times are counted from when the memory was made. Milliseconds wrap after 49 days: a proof so old would count again, but long before, the
 * tracker takes the slots of a silent master away, and a tracker that starts those of its predecessor. Seconds, rounded down, do not wrap;
 * `until` is in seconds.
 *
 * Who writes: distrust (even to odd, by compare-and-swap) is everybody's; the tracker alone does all else. The owner of a slot
 * changes only while its epoch is odd.
 *
 * Why holds is right: the caller has the shard's lock, whose taking is an acquire, so all that holds reads is read after that; and the copy was stored under its
 * stamp before. So if the stamp is the slot's epoch when holds reads it, it was so from then on, and the owner that holds has read is that of this epoch.
 * (A place is given to another master only after all its slots have become odd.) The proof may have been read earlier, for another copy and the same `now`, because
 * a master that is proven for a moment stays so: a later proof is younger, and so is that of the next master in its place, which is proven before it
 * claims a slot. So there is one atomic read for each master and moment, and a moment is a whole batch.
 *
 * Why a fill that checks is right: it reads epoch and generation, sends its GET, and stores under the shard's lock what comes back, if the epoch was
 * even and neither has changed. A change that the GET has not seen is told later than the fill has read the generation. It is noted first, and the
 * copy is dropped under the lock after that. So either the fill sees the note, or it has stored before and its copy is dropped.
 */
import { SLOTS } from "./slots";

/** Masters that are tracked at a time. The slots of further ones are never trusted. */
export const MASTERS_MAX = 1024;
/** Keys whose hashes have the same low bits share a generation: a change of one keeps the other from being stored, once. */
const GENERATIONS = 65_536;
/** What `now` may be behind a proof: a thread reads the clock first, and the table some time later. */
const CLOCK_LAG_MS = 60_000;

const BASE_BYTES = 8;
/** Words; the first are far from those that every read looks at. */
const Word = { EPOCHS_RAISED: 0, PROOFS: 1, GENERATION_OF_ALL: 2, SLOTS: 16 } as const;
/** A slot's epoch and owner lie beside each other, so that a read brings one line of the caches in, not two. */
const SLOT_WORDS = 2;
const OWNER = 1;
const UNTIL_AT = Word.SLOTS + SLOT_WORDS * SLOTS;
const PROVEN_MS_AT = UNTIL_AT + SLOTS;
const PROVEN_S_AT = PROVEN_MS_AT + MASTERS_MAX;
/** 1 for a master that is tracked: from its first proof until its slots are taken away. */
const TRACKED_AT = PROVEN_S_AT + MASTERS_MAX;
const GENERATIONS_AT = TRACKED_AT + MASTERS_MAX;
const WORDS = GENERATIONS_AT + GENERATIONS;
/** The epoch of a slot that nobody has trusted yet: odd. */
const FIRST_EPOCH = 1;

export interface TrustCounts {
  /** How often a slot ceased to be trusted. */
  readonly epochsRaised: number;
  readonly proofs: number;
}

/** Memory for one process. @param now ms on the store's clock */
export function createTrustMemory(now: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(BASE_BYTES + 4 * WORDS);
  new Float64Array(memory, 0, 1)[0] = now;
  const words = new Int32Array(memory, BASE_BYTES);
  for (let slot = 0; slot < SLOTS; slot++) words[epochAt(slot)] = FIRST_EPOCH;
  return memory;
}

function epochAt(slot: number): number {
  return Word.SLOTS + slot * SLOT_WORDS;
}

function ownerAt(slot: number): number {
  return epochAt(slot) + OWNER;
}

export function isTrusted(epoch: number): boolean {
  return (epoch & 1) === 0;
}

export class Trust {
  /** Signed, since reading those atomically is cheaper: epochs, which begin at 1, reach the sign after a thousand million losses. */
  private readonly words: Int32Array;
  private readonly base: number;
  /** The last moment for which this thread has found each master proven. */
  private readonly provenFor = new Float64Array(MASTERS_MAX).fill(NaN);

  /** @param maxAgeMs how long ago a master may have been proven for its copies to be served */
  constructor(
    memory: SharedArrayBuffer,
    readonly maxAgeMs: number,
  ) {
    this.base = new Float64Array(memory, 0, 1)[0]!;
    this.words = new Int32Array(memory, BASE_BYTES);
  }

  /** The stamp of a copy whose GET is sent after this call; nothing is stored under an epoch that is not trusted (odd). */
  epochOf(slot: number): number {
    return Atomics.load(this.words, epochAt(slot));
  }

  /** The place of the slot's master, the last one where it is not trusted. */
  ownerOf(slot: number): number {
    return Atomics.load(this.words, ownerAt(slot));
  }

  /** Whether a copy with this stamp may be served; asked under the lock of its shard. @param now ms on the store's clock, read for this request */
  holds(slot: number, epoch: number, now: number): boolean {
    const { words } = this;
    const owner = words[ownerAt(slot)]!;
    if (this.provenFor[owner] !== now && !this.isProvenFor(owner, now)) return false;
    return words[epochAt(slot)] === epoch && (epoch & 1) === 0;
  }

  /**
   * How long ago a copy with this stamp was last proven, in ms; after its slot was lost, up to a second more. Infinity where it cannot
   * be known, which is when the slot was lost more than once since. @param now ms on the store's clock
   */
  staleFor(slot: number, epoch: number, now: number): number {
    const current = this.epochOf(slot);
    if (!isTrusted(epoch) || current < epoch || current > epoch + 2) return Infinity;
    const age = current === epoch ? this.age(slot, now) : this.ageAtLoss(slot, now);
    return this.epochOf(slot) === current ? Math.max(0, age) : Infinity;
  }

  /** No copy of this slot's keys counts from now on, nor one whose GET is under way. Any thread calls it that sees MOVED or ASK. */
  distrust(slot: number): void {
    const { words } = this;
    const epoch = this.epochOf(slot);
    if (!isTrusted(epoch)) return;
    const until = Atomics.load(words, PROVEN_S_AT + Atomics.load(words, ownerAt(slot)));
    // Where somebody else was faster, the epoch has changed since this call began, which is all that it is for.
    if (Atomics.compareExchange(words, epochAt(slot), epoch, epoch + 1) !== epoch) return;
    // Until this is stored an earlier time stands there, which makes copies staler than they are.
    Atomics.store(words, UNTIL_AT + slot, until);
    Atomics.add(words, Word.EPOCHS_RAISED, 1);
  }

  /** The tracker's: of every slot; no master is tracked any more. */
  distrustAll(): void {
    for (let slot = 0; slot < SLOTS; slot++) this.distrust(slot);
    for (let master = 0; master < MASTERS_MAX; master++) this.retire(master);
  }

  /** The tracker's: this master is not tracked any more, all its slots are distrusted, and who watches was told. */
  retire(master: number): void {
    Atomics.store(this.words, TRACKED_AT + master, 0);
  }

  /** The tracker's: this master, proven before, owns the slot, and what is read from now on will be told of. */
  claim(master: number, slot: number): void {
    const { words } = this;
    if (isTrusted(this.epochOf(slot))) {
      if (Atomics.load(words, ownerAt(slot)) === master) return;
      this.distrust(slot);
    }
    Atomics.store(words, ownerAt(slot), master);
    // Odd, so nobody else writes it.
    Atomics.add(words, epochAt(slot), 1);
  }

  /** The tracker's: distrusts all slots of a master. */
  lose(master: number): void {
    for (let slot = 0; slot < SLOTS; slot++)
      if (Atomics.load(this.words, ownerAt(slot)) === master) this.distrust(slot);
  }

  /** The tracker's: all that this master changed before `at` has been taken in. @param at ms on the store's clock */
  proven(master: number, at: number): void {
    const ms = Math.floor(at - this.base);
    Atomics.store(this.words, PROVEN_MS_AT + master, ms);
    Atomics.store(this.words, PROVEN_S_AT + master, Math.floor(ms / 1000));
    Atomics.store(this.words, TRACKED_AT + master, 1);
    Atomics.add(this.words, Word.PROOFS, 1);
  }

  /** How old the last proof of a master is, in ms; null for one that is not tracked. @param now ms on the store's clock */
  silenceOf(master: number, now: number): number | null {
    if (Atomics.load(this.words, TRACKED_AT + master) === 0) return null;
    const proven = Atomics.load(this.words, PROVEN_MS_AT + master);
    return Math.max(0, ((now - this.base - proven + CLOCK_LAG_MS) >>> 0) - CLOCK_LAG_MS);
  }

  /** A key with this hash has changed: to be called before its copy is dropped. @returns the generation before */
  noteChange(hash: number): number {
    const own = Atomics.add(this.words, GENERATIONS_AT + (hash & (GENERATIONS - 1)), 1);
    return own + Atomics.load(this.words, Word.GENERATION_OF_ALL);
  }

  /** The same for every key. */
  noteChangeOfAll(): void {
    Atomics.add(this.words, Word.GENERATION_OF_ALL, 1);
  }

  /** Changes whenever a key with this hash does: neither of the two numbers ever falls, so their sum stays only where both do. */
  generationOf(hash: number): number {
    const own = Atomics.load(this.words, GENERATIONS_AT + (hash & (GENERATIONS - 1)));
    return own + Atomics.load(this.words, Word.GENERATION_OF_ALL);
  }

  get counts(): TrustCounts {
    return {
      epochsRaised: Atomics.load(this.words, Word.EPOCHS_RAISED),
      proofs: Atomics.load(this.words, Word.PROOFS),
    };
  }

  /** Throws where the table contradicts itself; for tests, while nobody writes. */
  invariants(): void {
    const { words } = this;
    let losses = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      const epoch = this.epochOf(slot);
      const owner = words[ownerAt(slot)]!;
      if (epoch < FIRST_EPOCH) throw new Error(`slot ${slot} has the epoch ${epoch}`);
      if (owner >= MASTERS_MAX) throw new Error(`slot ${slot} belongs to ${owner}, which is no place`);
      losses += (epoch - FIRST_EPOCH) >> 1;
    }
    if (losses !== this.counts.epochsRaised)
      throw new Error(`${losses} slots were lost, ${this.counts.epochsRaised} are counted`);
  }

  private isProvenFor(master: number, now: number): boolean {
    const proven = Atomics.load(this.words, PROVEN_MS_AT + master);
    if ((now - this.base - proven + CLOCK_LAG_MS) >>> 0 > this.maxAgeMs + CLOCK_LAG_MS) return false;
    this.provenFor[master] = now;
    return true;
  }

  /** How old the last proof of the slot's owner is, in ms; a little below 0 where it is younger than `now`. */
  private age(slot: number, now: number): number {
    const proven = Atomics.load(this.words, PROVEN_MS_AT + Atomics.load(this.words, ownerAt(slot)));
    return ((now - this.base - proven + CLOCK_LAG_MS) >>> 0) - CLOCK_LAG_MS;
  }

  private ageAtLoss(slot: number, now: number): number {
    return now - this.base - 1000 * Atomics.load(this.words, UNTIL_AT + slot);
  }
}
