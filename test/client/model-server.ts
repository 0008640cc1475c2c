/**
 * A cache server in memory, for models of the client: versions, watches, leases, expiry, eviction. It executes requests, and
 * sends replies and pushes, only when it is told to, and in every order that the contract allows: a push never comes after
 * the reply to a request that was executed later than its change, but may come before the reply to an earlier one. It
 * remembers which value every key had when, so that what a client served can be judged.
 */
import { Flag, Op } from "../../src/protocol/wire";
import type { Random } from "../support/random";
import type { FakeClock, FakeSocket } from "./fake-runtime";
import * as wire from "./wire-replies";

interface Entry {
  value: string;
  version: number;
  expiresAt: number;
}

/** What a key was from a moment on. */
interface State {
  readonly since: number;
  readonly value: string | null;
  readonly expiresAt: number;
  /** The entry is gone to make room: its value is still the cache's last word. */
  readonly isEvicted: boolean;
}

interface Lease {
  readonly token: number;
  readonly holder: Link;
  readonly waiters: { link: Link; ticket: number; isWatching: boolean }[];
}

interface Push {
  /** The execution that it tells of. */
  readonly moment: number;
  readonly bytes: Buffer;
}

/** One connection, as the server sees it. */
export class Link {
  /** Watched single keys. */
  readonly keys = new Set<string>();
  readonly prefixes = new Set<string>();
  readonly replies: Push[] = [];
  pushes: Push[] = [];
  /** Nothing that is sent arrives any more, and nobody is told. */
  isMute = false;
  private readMessages = 0;
  private readonly requests: wire.WholeRequest[] = [];

  constructor(readonly socket: FakeSocket) {}

  /** The next request that has arrived. */
  nextRequest(): wire.WholeRequest | undefined {
    while (this.readMessages < this.socket.sent.length)
      this.requests.push(...wire.wholeRequestsIn(this.socket.sent[this.readMessages++]!));
    return this.requests.shift();
  }
}

export class ModelServer {
  readonly links = new Set<Link>();
  private readonly entries = new Map<string, Entry>();
  private readonly history = new Map<string, State[]>();
  private readonly leases = new Map<string, Lease>();
  /** By value: how many values had been stored before. */
  private readonly orders = new Map<string, number>();
  private version = 1000;
  private ticket = 0;
  private moment = 0;
  /** What the contract leaves open: whether a single key's watch tells the connection's own writes. */
  private readonly tellsOwnWrites: boolean;
  /** Whether who waited for a fill watches what was filled. */
  private readonly watchesFills: boolean;

  constructor(
    private readonly clock: FakeClock,
    private readonly random: Random,
  ) {
    this.tellsOwnWrites = random.below(2) === 0;
    this.watchesFills = random.below(2) === 0;
  }

  connect(socket: FakeSocket): Link {
    const link = new Link(socket);
    this.links.add(link);
    return link;
  }

  /** The connection is gone; what it was promised is passed on. */
  disconnect(link: Link): void {
    this.links.delete(link);
    for (const lease of this.leases.values()) {
      const own = lease.waiters.filter((waiter) => waiter.link === link);
      for (const waiter of own) lease.waiters.splice(lease.waiters.indexOf(waiter), 1);
    }
    for (const [key, { holder }] of [...this.leases]) if (holder === link) this.passLeaseOn(key);
  }

  /** Executes the connection's next request; false when none has arrived. */
  execute(link: Link): boolean {
    const request = this.links.has(link) ? link.nextRequest() : undefined;
    if (request === undefined) return false;
    this.moment++;
    const bytes = this.answer(link, request);
    link.replies.push({ moment: this.moment, bytes });
    return true;
  }

  /** Sends something that is due to the client; false when nothing is. */
  send(link: Link): boolean {
    const [reply] = link.replies;
    const [push] = link.pushes;
    if (reply === undefined && push === undefined) return false;
    const mustPush = reply === undefined || (push !== undefined && push.moment < reply.moment);
    if (push !== undefined && (mustPush || this.random.below(3) === 0)) {
      link.pushes.shift();
      this.deliver(link, push.bytes);
    } else {
      link.replies.shift();
      this.deliver(link, reply!.bytes);
    }
    return true;
  }

  /** Executes and sends everything. */
  answerAll(link: Link): void {
    while (this.execute(link));
    while (this.send(link));
  }

  /** The entry's value now, or null. */
  valueOf(key: string): string | null {
    return this.live(key)?.value ?? null;
  }

  /** Another program's write. */
  write(key: string, value: string, ttlMs: number | null): number {
    this.moment++;
    return this.store(null, key, value, ttlMs).version;
  }

  remove(key: string): void {
    this.moment++;
    this.delete(null, key);
  }

  /** Entries under a prefix are gone; every watch of single keys is void. */
  clear(prefix: string): number {
    this.moment++;
    const keys = [...this.entries.keys()].filter((key) => key.startsWith(prefix));
    for (const key of keys) {
      this.entries.delete(key);
      this.remember(key, null);
    }
    for (const key of [...this.leases.keys()]) if (key.startsWith(prefix)) this.passLeaseOn(key);
    for (const link of this.links) {
      if (link.keys.size === 0 && link.prefixes.size === 0) continue;
      link.keys.clear();
      link.pushes.push({ moment: this.moment, bytes: wire.reset(prefix, 2) });
    }
    return keys.length;
  }

  /** An entry makes room; nobody is told. */
  evict(key: string): void {
    const entry = this.live(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    this.states(key).push({
      since: this.clock.now(),
      value: entry.value,
      expiresAt: entry.expiresAt,
      isEvicted: true,
    });
  }

  /** Too much waits for a client: all pushes become one reset. */
  overflow(link: Link): void {
    const moment = link.pushes[0]?.moment ?? this.moment;
    link.pushes = [{ moment, bytes: wire.reset("") }];
    link.keys.clear();
  }

  /** A watch is given up, or another key that shares its place has changed. */
  giveUpWatch(link: Link): void {
    const [key] = link.keys;
    if (key === undefined) return;
    link.keys.delete(key);
    link.pushes.push({ moment: this.moment, bytes: wire.changed([key, 0]) });
  }

  /** A lease's time is over. */
  expireLease(): void {
    const [key] = this.leases.keys();
    if (key !== undefined) this.passLeaseOn(key);
  }

  /** Whether a key had this value at some moment from one time to another. */
  wasCurrent(key: string, value: string | null, from: number, to: number): boolean {
    const states = this.states(key);
    for (let i = states.length - 1; i >= 0; i--) {
      const { since, expiresAt, isEvicted, ...state } = states[i]!;
      const until = states[i + 1]?.since ?? Infinity;
      if (until < from) return false;
      if (since > to) continue;
      const livesWithin = since <= to && Math.min(until, expiresAt) >= from;
      const isGone = state.value === null || isEvicted || expiresAt <= to;
      if (value === null ? isGone : value === state.value && livesWithin) return true;
    }
    return false;
  }

  /** When a value was stored, in the order of all that were. Every value is stored once only. */
  orderOf(value: string): number {
    return this.orders.get(value)!;
  }

  private answer(link: Link, { op, flags, key, ttlMs, version, value }: wire.WholeRequest): Buffer {
    const entry = this.live(key);
    switch (op) {
      case Op.PING:
        return wire.value("");
      case Op.GET:
        if (flags & Flag.GET_WATCH) link.keys.add(key);
        if (entry === undefined) return wire.miss();
        if (entry.version === version) return wire.current(this.left(entry));
        return flags & Flag.GET_META ? this.metaOf(entry) : wire.value(entry.value);
      case Op.PUT: {
        if (flags & Flag.PUT_FILL && this.leases.get(key)?.token !== version) return wire.refused();
        if (flags & Flag.PUT_IF_ABSENT && entry !== undefined) return wire.refused();
        const stored = this.store(link, key, value!.toString(), ttlMs ?? null);
        if (flags & Flag.PUT_WATCH) link.keys.add(key);
        return wire.number(BigInt(stored.version));
      }
      case Op.DELETE:
        if (entry === undefined) return wire.miss();
        this.delete(link, key);
        return wire.ok();
      case Op.TOUCH:
        if (entry === undefined) return wire.miss();
        entry.expiresAt = this.expiryOf(ttlMs ?? null);
        this.remember(key, entry);
        this.tell(link, key, 0);
        return wire.ok();
      case Op.CLEAR:
        return wire.number(BigInt(this.clear(key)));
      case Op.WATCH:
        link.prefixes.add(key);
        return wire.ok();
      case Op.UNWATCH:
        link.prefixes.delete(key);
        return wire.ok();
      case Op.LEASE:
        return this.lease(link, key, (flags & Flag.LEASE_WATCH) !== 0);
      case Op.RELEASE:
        if (this.leases.get(key)?.token !== version) return wire.miss();
        this.passLeaseOn(key);
        return wire.ok();
    }
    throw new Error(`the model has no op ${op}`);
  }

  private lease(link: Link, key: string, isWatching: boolean): Buffer {
    const entry = this.live(key);
    const lease = this.leases.get(key);
    if (isWatching) link.keys.add(key);
    if (entry !== undefined) {
      if (lease !== undefined || this.random.below(4) > 0) return this.metaOf(entry);
      return wire.hitLeased(this.grant(link, key), this.metaOf(entry));
    }
    if (lease === undefined) return wire.leased(this.grant(link, key));
    lease.waiters.push({ link, ticket: ++this.ticket, isWatching });
    return wire.pending(this.ticket);
  }

  private grant(holder: Link, key: string): number {
    const token = this.version++;
    this.leases.set(key, { token, holder, waiters: [] });
    return token;
  }

  /** The lease is void; the first of those who wait gets the next. */
  private passLeaseOn(key: string): void {
    const { waiters } = this.leases.get(key)!;
    this.leases.delete(key);
    const [first, ...others] = waiters;
    if (first === undefined) return;
    const token = this.grant(first.link, key);
    this.leases.get(key)!.waiters.push(...others);
    this.fill(first.link, first.ticket, wire.leased(token));
  }

  private fill(link: Link, ticket: number, reply: Buffer): void {
    link.pushes.push({ moment: this.moment, bytes: wire.filled(ticket, reply) });
  }

  private store(by: Link | null, key: string, value: string, ttlMs: number | null): Entry {
    const entry = { value, version: ++this.version, expiresAt: this.expiryOf(ttlMs) };
    this.entries.set(key, entry);
    this.orders.set(value, this.orders.size);
    this.remember(key, entry);
    this.tell(by, key, entry.version);
    const waiters = this.leases.get(key)?.waiters ?? [];
    this.leases.delete(key);
    for (const { link, ticket, isWatching } of waiters) {
      this.fill(link, ticket, this.metaOf(entry));
      if (isWatching && this.watchesFills) link.keys.add(key);
    }
    return entry;
  }

  private delete(by: Link | null, key: string): void {
    if (!this.entries.delete(key)) return;
    this.remember(key, null);
    this.tell(by, key, ++this.version);
    if (this.leases.has(key)) this.passLeaseOn(key);
  }

  /** A key has changed. Some are told without the version. */
  private tell(by: Link | null, key: string, version: number): void {
    for (const link of this.links) {
      const isUnderPrefix = [...link.prefixes].some((prefix) => key.startsWith(prefix));
      const isOwn = link === by && !this.tellsOwnWrites;
      const isWatched = !isOwn && link.keys.delete(key);
      if (!isWatched && !isUnderPrefix) continue;
      const told = this.random.below(10) === 0 ? 0 : version;
      link.pushes.push({ moment: this.moment, bytes: wire.changed([key, told]) });
    }
  }

  private deliver(link: Link, bytes: Buffer): void {
    if (!link.isMute && link.socket.state === "open") link.socket.receive(bytes);
  }

  private live(key: string): Entry | undefined {
    const entry = this.entries.get(key);
    return entry !== undefined && entry.expiresAt > this.clock.now() ? entry : undefined;
  }

  private left({ expiresAt }: Entry): number | null {
    return expiresAt === Infinity ? null : expiresAt - this.clock.now();
  }

  private metaOf(entry: Entry): Buffer {
    return wire.metaValue(entry.value, entry.version, this.left(entry));
  }

  private expiryOf(ttlMs: number | null): number {
    return ttlMs === null ? Infinity : this.clock.now() + ttlMs;
  }

  private remember(key: string, entry: Entry | null): void {
    const { value = null, expiresAt = Infinity } = entry ?? {};
    this.states(key).push({ since: this.clock.now(), value, expiresAt, isEvicted: false });
  }

  private states(key: string): State[] {
    let states = this.history.get(key);
    if (states === undefined)
      this.history.set(
        key,
        (states = [{ since: -Infinity, value: null, expiresAt: Infinity, isEvicted: false }]),
      );
    return states;
  }
}
