/**
 * One worker's side of watches and leases: what its connections watch and wait for, and the reading of the journals.
 *
 *   an operation, on any worker                       this worker
 *   ─ under the shard's lock:                         ─ before it sends replies to a connection, when it is woken,
 *     interest, prefixes, leases ─▶ journal ─▶ bell ──▶ and on a timer: look() ─▶ watches.ts, tickets.ts ─▶ feeds
 *
 * Order: the reads of a reply happened before look(); what was changed before them was in a journal, and its bell rung, before
 * they could see it; and the bell is taken before the journals are read. So after look() every earlier change that concerns a
 * connection is in its feed, and the connection sends its feed before the reply.
 *
 * No watch is lost: the read that watches sets its interest under the lock, and its record has a stamp of that moment. An entry of
 * a journal uses up those records of its interest word that are older than the entry. What cannot be found out any more (a
 * journal that was overrun, a thread that died) is told as RESET to everybody whom it may concern.
 */
import { ResetReason } from "../protocol/wire";
import type { HashedKey } from "../store/hash";
import { NO_WORKER } from "../store/observer";
import type { Store } from "../store/store";
import { Bells } from "./bells";
import { Changes, type ChangesContext } from "./changes";
import { Feed, type FeedOwner, type Ticket, type TicketWish } from "./feed";
import { Interest } from "./interest";
import { type Change, JournalReader, Kind } from "./journal";
import { bitOf, type StreamMemory, streamLayoutOf } from "./memory";
import { NO_PLACE, Prefixes } from "./prefixes";
import { Tickets } from "./tickets";
import { type StreamCounts, Watches } from "./watches";

/** Prefixes of one connection. */
export const CONNECTION_PREFIXES_MAX = 16;
/** Leases that one connection holds. */
export const CONNECTION_LEASES_MAX = 1024;
/** The tickets of a worker may take so many times what its watches may. */
const TICKET_SHARE = 2;
/** How often a worker that listens looks at what nobody may have told it: the ends of leases, and its bell. */
const TICK_MS = 25;

export interface StreamsOptions {
  readonly memory: StreamMemory;
  readonly store: Store;
  readonly worker: number;
  /** The store's clock. */
  readonly clock: () => number;
  readonly counts: StreamCounts;
  readonly onFault: (error: unknown) => void;
}

export class Streams {
  readonly worker: number;
  private readonly store: Store;
  private readonly bells: Bells;
  private readonly prefixes: Prefixes;
  private readonly reader: JournalReader;
  private readonly changes: readonly Changes[];
  private readonly context: ChangesContext;
  private readonly watches: Watches;
  private readonly tickets: Tickets;
  private readonly bit: number;
  private readonly key: HashedKey;
  private feeds = 0;
  /** The connection whose requests are executed now, or null. */
  private present: Feed | null = null;
  /** Feeds with something to send. */
  private readonly dirty = new Set<Feed>();
  private isReading = false;
  private isTelling = false;
  /** The shard whose journal is being read. */
  private shard = 0;
  private deathsSeen = 0;
  private timer: ReturnType<typeof setInterval> | null = null;
  private hasBecomeDeaf: () => boolean = never;

  constructor(private readonly options: StreamsOptions) {
    const { memory, store, worker, counts } = options;
    const { sizes } = memory;
    const plan = { memory, layout: streamLayoutOf(sizes) };
    this.worker = worker;
    this.store = store;
    this.bit = bitOf(worker);
    this.bells = new Bells(plan, worker, () => this.look());
    this.prefixes = new Prefixes(plan);
    this.reader = new JournalReader(plan);
    const interest = new Interest(plan);
    this.context = { worker, bells: this.bells, prefixes: this.prefixes, interest, connection: 0 };
    this.changes = store.shards.map((_, shard) => new Changes(this.context, plan, shard));
    const place = { worker, slots: sizes.shards * sizes.interestWords, bytesMax: sizes.watchBytes };
    this.watches = new Watches(place, counts, this.onNews);
    this.tickets = new Tickets(sizes.watchBytes * TICKET_SHARE, this.onNews, (more) => counts.waiting(more));
    this.key = store.newKey();
    store.observe(this.changes);
  }

  /** What a worker of this number that has died watched is nobody's any more. Once, before this one serves. */
  takeOver(): void {
    this.store.shards[0]!.exclusively(() => this.prefixes.forget(this.worker));
  }

  stop(): void {
    this.rest();
  }

  /**
   * Where changes come from elsewhere, and so without versions: `hasBecomeDeaf` says whether they no longer come, once each time that this
   * begins. Asked at every look.
   */
  hearFrom(hasBecomeDeaf: () => boolean): void {
    this.hasBecomeDeaf = hasBecomeDeaf;
    this.watches.tellsVersions = false;
  }

  // Connections

  /** For a connection that has just opened; `close` has to follow. */
  newFeed(owner: FeedOwner): Feed {
    return new Feed(++this.feeds, owner);
  }

  /** The connection has ended: nothing of it is left, here or in what workers share. */
  close(feed: Feed): void {
    if (feed.isClosed) return;
    feed.isClosed = true;
    this.dirty.delete(feed);
    this.watches.dropKeys(feed);
    for (const place of [...feed.prefixes]) this.dropPrefix(feed, place);
    for (const ticket of [...feed.tickets]) this.tickets.close(ticket);
    feed.due.length = 0;
    for (const { key, token } of feed.leases.values()) this.releaseQuietly(key, token);
    feed.leases.clear();
    feed.pushes.clear();
  }

  /** Requests that are executed from now on are this connection's; those of nobody who could be told are null's. */
  serve(feed: Feed | null): void {
    this.present = feed;
    this.context.connection = feed?.number ?? 0;
  }

  get served(): Feed | null {
    return this.present;
  }

  // Watches of keys

  /** Before an operation that watches: whatever changes from now on is heard. */
  listen(): void {
    if (this.bells.listens) return;
    this.bells.listen();
    this.reader.skip();
    this.deathsSeen = this.bells.deaths;
    this.timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  /** After an operation that watched the key for this connection, before any other operation. */
  watched(feed: Feed, key: HashedKey): void {
    const { watchedSlot, watchStart } = this.changes[this.store.numberFor(key)]!;
    feed.isText = feed.executesText;
    this.watches.watchKey(feed, watchedSlot, key, watchStart);
  }

  unwatchKeys(feed: Feed): void {
    this.watches.dropKeys(feed);
  }

  // Watches of prefixes

  /** From here on every change under the prefix is told. @returns false over the limits. */
  watchPrefix(feed: Feed, prefix: Buffer, isNoLoop: boolean): boolean {
    feed.isText = feed.executesText;
    const known = this.watches.placeOf(feed, prefix);
    if (known !== undefined) {
      this.watches.watchPrefix(feed, known, prefix, isNoLoop);
      return true;
    }
    if (feed.prefixes.length >= CONNECTION_PREFIXES_MAX) return false;
    this.listen();
    const place = this.store.shards[0]!.exclusively(() => this.prefixes.add(prefix, this.worker));
    if (place === NO_PLACE) return false;
    this.watches.watchPrefix(feed, place, prefix, isNoLoop);
    try {
      // Writes that have not seen the prefix have ended after this.
      for (const shard of this.store.shards) shard.exclusively(nothing);
    } catch (error) {
      this.dropPrefix(feed, place);
      throw error;
    }
    return true;
  }

  unwatchPrefix(feed: Feed, prefix: Buffer): void {
    const place = this.watches.placeOf(feed, prefix);
    if (place !== undefined) this.dropPrefix(feed, place);
  }

  // Leases

  /** Before an operation that asks for a lease. */
  prepareLeases(): void {
    this.bells.noteLeasesUsed();
    this.listen();
  }

  /** Whether the connection may have one more lease. */
  mayHoldLease(feed: Feed, now: number): boolean {
    if (!feed.holdsLeases || feed.leases.size < CONNECTION_LEASES_MAX) return true;
    for (const [name, { key, token }] of feed.leases)
      if (!this.isLeased(this.aim(key), token, now)) feed.leases.delete(name);
    return feed.leases.size < CONNECTION_LEASES_MAX;
  }

  /** The connection holds this lease now. */
  noteLease(feed: Feed, key: HashedKey, token: number): void {
    if (!feed.holdsLeases) return;
    const bytes = Buffer.from(key.bytes.subarray(key.start, key.end));
    feed.leases.set(this.leaseName(key, token), { key: bytes, token });
  }

  /** Its lease was used, or given back. */
  forgetLease(feed: Feed, key: HashedKey, token: number): void {
    feed.leases.delete(this.leaseName(key, token));
  }

  /** Whether the connection may wait for the key. */
  mayWait(feed: Feed, key: HashedKey): boolean {
    return this.tickets.hasRoomFor(feed, key.length);
  }

  /** The connection waits for the lease that `ask` found out. @returns the ticket */
  wait(feed: Feed, key: HashedKey, wish: TicketWish, deadline: number): Ticket {
    feed.isText = feed.executesText;
    const ticket = this.tickets.open(feed, this.store.numberFor(key), key, wish);
    this.tickets.wait(ticket, deadline);
    return ticket;
  }

  /** A ticket that was due waits on. */
  waitOn(ticket: Ticket, deadline: number): void {
    this.tickets.wait(ticket, deadline);
  }

  /** There may be an answer to a ticket that waits, if it still does. */
  makeDue(ticket: Ticket): void {
    if (ticket.feed.tickets.has(ticket)) this.tickets.makeDue(ticket);
    this.tell();
  }

  /** It is answered, or nobody waits for that any more. */
  closeTicket(ticket: Ticket): void {
    this.tickets.close(ticket);
  }

  /** The worker whose end ends a lease of this connection. */
  holderFor(feed: Feed | null): number {
    return feed?.holdsLeases === true ? this.worker : NO_WORKER;
  }

  // News

  /** Takes in what the journals have for this worker's connections, and has those told that are not being served now. */
  look(): void {
    if (this.bells.isRung) this.read();
    if (this.hasBecomeDeaf()) this.loseTrack(ResetReason.SERVER);
    this.tell();
  }

  /** Beside what the bell says: leases whose time is over, and workers that have died. */
  tick(): void {
    const { deaths } = this.bells;
    if (deaths !== this.deathsSeen) this.tickets.suspectAll();
    this.deathsSeen = deaths;
    this.tickets.look(this.options.clock());
    this.look();
    if (this.watches.isEmpty && this.tickets.count === 0) this.rest();
  }

  /** Over all workers. */
  get prefixCount(): number {
    return this.prefixes.count;
  }

  /** Over all shards. */
  get leaseCount(): number {
    return this.changes.reduce((sum, { leases }) => sum + leases.count, 0);
  }

  /** Throws where the state contradicts itself; for tests. */
  invariants(): void {
    this.watches.invariants();
    this.tickets.invariants();
    const { shards } = this.store;
    shards[0]!.exclusively(() => this.prefixes.invariants());
    this.changes.forEach(({ leases }, shard) => shards[shard]!.exclusively(() => leases.invariants()));
    if (!this.bells.listens && !(this.watches.isEmpty && this.tickets.count === 0))
      throw new Error("a worker that does not listen has connections that watch or wait");
  }

  private readonly onNews = (feed: Feed): void => {
    if (!feed.isClosed) this.dirty.add(feed);
  };

  private read(): void {
    if (this.isReading) return;
    this.isReading = true;
    try {
      this.bells.take();
      if (this.bells.listens) this.readAll();
    } catch (error) {
      this.options.onFault(error);
      this.loseTrack(ResetReason.SERVER);
    } finally {
      this.isReading = false;
    }
  }

  private readAll(): void {
    for (this.shard = 0; this.shard < this.changes.length; this.shard++)
      if (!this.reader.read(this.shard, this.hear)) this.loseTrack(ResetReason.OVERFLOW);
  }

  private loseTrack(reason: ResetReason): void {
    this.watches.resetAll(reason);
    this.tickets.suspectAll();
  }

  private readonly hear = (change: Change): void => {
    const keys = (change.keyWatchers & this.bit) !== 0;
    const prefixes = (change.prefixWatchers & this.bit) !== 0;
    if (!keys && !prefixes) return;
    switch (change.kind) {
      case Kind.CHANGED:
      case Kind.TOUCHED:
        return this.watches.tellChanged(change, keys, prefixes);
      case Kind.CLEARED:
        return this.watches.tellCleared(change.bytes.subarray(change.start, change.end), keys);
      case Kind.LOST:
        return this.loseTrack(ResetReason.SHARD_LOST);
      case Kind.LEASE_ENDED:
        return this.tickets.ended(this.shard, change.slot);
    }
  };

  /** Has the connections told. What one of them does may be news for others: they have their turn in the same call. */
  private tell(): void {
    if (this.isTelling || this.dirty.size === 0) return;
    this.isTelling = true;
    for (const feed of this.dirty) {
      this.dirty.delete(feed);
      try {
        feed.owner.onNews();
      } catch (error) {
        this.options.onFault(error);
      }
    }
    this.isTelling = false;
  }

  /** Nobody watches or waits: what happens is no longer told to this worker. */
  private rest(): void {
    this.bells.stopListening();
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private dropPrefix(feed: Feed, place: number): void {
    this.watches.unwatchPrefix(feed, place);
    try {
      this.store.shards[0]!.exclusively(() => this.prefixes.remove(place, this.worker));
    } catch (error) {
      // The shard is locked by a dead thread. What stays is a prefix that nobody here watches.
      this.options.onFault(error);
    }
  }

  private releaseQuietly(keyBytes: Buffer, token: number): void {
    const key = this.aim(keyBytes);
    try {
      this.store.shardFor(key).release(key, token, this.options.clock());
    } catch (error) {
      // The shard is locked by a dead thread. The lease ends when its time is over.
      this.options.onFault(error);
    }
  }

  /** Whether the lease on the key that has this token is still out. */
  isLeased(key: HashedKey, token: number, now: number): boolean {
    const shard = this.store.numberFor(key);
    return this.store.shards[shard]!.exclusively(() => this.changes[shard]!.isLeased(key, token, now));
  }

  private aim(bytes: Buffer): HashedKey {
    this.key.aim(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    return this.key;
  }

  private leaseName(key: HashedKey, token: number): string {
    return `${this.store.numberFor(key)}:${token}`;
  }
}

function nothing(): void {}

function never(): boolean {
  return false;
}
