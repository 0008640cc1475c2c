/**
 * The leases on one shard's keys: who computes a value that is not there, until when, and which workers have connections that wait
 * for it. A fixed table, dense from its beginning, so that looking through it costs what is in it.
 *
 *   count │ 256 hashes │ 256 records: token f64 │ deadline f64 │ hash │ holder's worker │ its deaths until then │
 *                                     bits of workers that wait │ key length │ 3 unused │ the key's first 80 bytes
 *
 * A lease names its key by hash, length and first bytes. Two keys that agree in all of these would share a lease: whoever waits is
 * told once more than needed, or computes once more.
 *
 * Why it is correct: the table is read and written under the shard's lock only. A lease whose time is over, or whose holder's worker
 * has died, counts as none from that moment on, whether or not anybody has taken it out. A token is a number of the shard's version
 * counter, so no two leases and no entry of the shard ever have the same.
 */
import type { HashedKey } from "../store/hash";
import { type LeaseAsk, LeaseOutcome, NO_WORKER } from "../store/observer";
import type { Bells } from "./bells";
import { bitOf, LEASE_KEY_BYTES, LEASE_WORDS, LEASES_MAX, type StreamPlan } from "./memory";

const COUNT = 0;
const HASHES = 1;
/** Words of a record; the first four are two doubles. */
const TOKEN = 0;
const DEADLINE = 1;
const HASH = 4;
const HOLDER = 5;
const DEATHS = 6;
const WAITERS = 7;
const KEY_LENGTH = 8;
const KEY = 12;
const NONE = -1;

export class Leases {
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly bytes: Buffer;
  private readonly records: number;

  constructor(
    { memory, layout }: StreamPlan,
    shard: number,
    private readonly bells: Pick<Bells, "deathsOf">,
    /** Told of each lease that ends: the hash of its key, and the bits of workers that wait. */
    private readonly onEnd: (hash: number, waiters: number) => void,
  ) {
    const words = layout.journal - layout.leases;
    const block = memory.shards[shard]!;
    this.words = new Int32Array(block, layout.leases * 4, words);
    this.doubles = new Float64Array(block, layout.leases * 4, words / 2);
    this.bytes = Buffer.from(block as unknown as ArrayBuffer, layout.leases * 4, words * 4);
    this.records = words - LEASES_MAX * LEASE_WORDS;
  }

  get count(): number {
    return this.words[COUNT]!;
  }

  /** Gives the key's lease, or notes who waits for it. */
  ask(key: HashedKey, ask: LeaseAsk, token: number, now: number): LeaseOutcome {
    const out = this.findLive(key, now);
    if (out !== NONE) {
      ask.leftMs = this.doubles[doubleOf(this.record(out)) + DEADLINE]! - now;
      if (ask.waiter !== NO_WORKER) this.words[this.record(out) + WAITERS]! |= bitOf(ask.waiter);
      return LeaseOutcome.PENDING;
    }
    if (this.count === LEASES_MAX) this.dropEnded(now);
    if (this.count === LEASES_MAX) return LeaseOutcome.FULL;
    this.write(key, ask, token, now);
    ask.token = token;
    ask.leftMs = ask.leaseMs;
    return LeaseOutcome.LEASED;
  }

  /** Whether the key's lease has this token, and its time is not over. */
  isHeld(key: HashedKey, token: number, now: number): boolean {
    const index = this.findLive(key, now);
    return index !== NONE && this.doubles[doubleOf(this.record(index)) + TOKEN] === token;
  }

  /** Ends the key's lease, if one is out. */
  end(key: HashedKey): void {
    const index = this.find(key);
    if (index !== NONE) this.endAt(index);
  }

  /** Ends all leases on keys that may have this prefix. */
  endAll(prefix: Buffer): void {
    for (let index = this.count - 1; index >= 0; index--)
      if (this.mayHavePrefix(index, prefix)) this.endAt(index);
  }

  /** Throws where the table contradicts itself; for tests. */
  invariants(): void {
    if (this.count < 0 || this.count > LEASES_MAX) throw new Error(`${this.count} leases`);
    const tokens = new Set<number>();
    for (let index = 0; index < this.count; index++) {
      const record = this.record(index);
      if (this.words[HASHES + index] !== this.words[record + HASH])
        throw new Error(`lease ${index}: another hash`);
      tokens.add(this.doubles[doubleOf(record) + TOKEN]!);
    }
    if (tokens.size !== this.count) throw new Error("two leases have one token");
  }

  private findLive(key: HashedKey, now: number): number {
    const index = this.find(key);
    if (index === NONE || this.isLive(index, now)) return index;
    this.endAt(index);
    return NONE;
  }

  private find(key: HashedKey): number {
    const { words } = this;
    for (let index = 0, end = this.count; index < end; index++)
      if (words[HASHES + index] === key.hash && this.hasKey(index, key)) return index;
    return NONE;
  }

  private isLive(index: number, now: number): boolean {
    const record = this.record(index);
    const holder = this.words[record + HOLDER]!;
    return (
      this.doubles[doubleOf(record) + DEADLINE]! > now &&
      (holder === NO_WORKER || this.bells.deathsOf(holder) === this.words[record + DEATHS])
    );
  }

  private dropEnded(now: number): void {
    for (let index = this.count - 1; index >= 0; index--) if (!this.isLive(index, now)) this.endAt(index);
  }

  /** The last one takes its place. */
  private endAt(index: number): void {
    const { words } = this;
    const record = this.record(index);
    const hash = words[record + HASH]!;
    const waiters = words[record + WAITERS]!;
    const last = this.count - 1;
    const lastRecord = this.record(last);
    words[HASHES + index] = words[HASHES + last]!;
    words.copyWithin(record, lastRecord, lastRecord + LEASE_WORDS);
    words[COUNT] = last;
    if (waiters !== 0) this.onEnd(hash, waiters);
  }

  private write(key: HashedKey, { leaseMs, holder }: LeaseAsk, token: number, now: number): void {
    const { words, doubles } = this;
    const index = this.count;
    const record = this.record(index);
    words[HASHES + index] = key.hash;
    doubles[doubleOf(record) + TOKEN] = token;
    doubles[doubleOf(record) + DEADLINE] = now + leaseMs;
    words[record + HASH] = key.hash;
    words[record + HOLDER] = holder;
    words[record + DEATHS] = holder === NO_WORKER ? 0 : this.bells.deathsOf(holder);
    words[record + WAITERS] = 0;
    words[record + KEY_LENGTH] = key.length;
    key.bytes.copy(this.bytes, (record + KEY) << 2, key.start, key.start + keptOf(key.length));
    words[COUNT] = index + 1;
  }

  private hasKey(index: number, { bytes, start, length }: HashedKey): boolean {
    const record = this.record(index);
    if (this.words[record + KEY_LENGTH] !== length) return false;
    const at = (record + KEY) << 2;
    const kept = keptOf(length);
    return this.bytes.compare(bytes, start, start + kept, at, at + kept) === 0;
  }

  private mayHavePrefix(index: number, prefix: Buffer): boolean {
    const record = this.record(index);
    const keyLength = this.words[record + KEY_LENGTH]!;
    if (keyLength < prefix.length) return false;
    const at = (record + KEY) << 2;
    const compared = Math.min(keptOf(keyLength), prefix.length);
    return this.bytes.compare(prefix, 0, compared, at, at + compared) === 0;
  }

  private record(index: number): number {
    return this.records + index * LEASE_WORDS;
  }
}

function keptOf(keyBytes: number): number {
  return Math.min(keyBytes, LEASE_KEY_BYTES);
}

/** Where a record's doubles begin. */
function doubleOf(record: number): number {
  return record >> 1;
}
