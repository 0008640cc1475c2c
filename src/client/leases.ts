/**
 * Leases: who asks for a value that is not there is told to compute it, or to wait for the one who does.
 *
 *   LEASE ─▶ VALUE, MISS, LEASED, HIT_LEASED ─────────────────────────▶ granted
 *    ▲    └▶ PENDING, a ticket ─▶ FILLED with VALUE, MISS or LEASED ──────▲
 *    └──────────────────────────── the connection broke
 *
 * Leases and tickets are a connection's own; when that ends, the server passes the lease on. A lease that nobody here uses
 * is released at once, so that nobody elsewhere waits for it.
 */
import { Flag, Op, Status } from "../protocol/wire";
import { type Reply, u64Bytes, unexpected } from "./codec";
import type { Connection, Fate } from "./connection";
import { CacheError } from "./errors";
import { copyOf, expiryOf, type Pending, type Rules } from "./near/rules";
import type { Sent } from "./requests";

/** The right to compute a value, for which the server lets others wait. */
export interface Lease {
  readonly key: string;
  readonly token: number;
  /** On which connection, by its number. */
  readonly connection: number;
}

/** The value if there is one, and the right to compute it; without either, everybody may compute it. */
export interface Granted {
  readonly value: Uint8Array | null;
  readonly lease: Lease | null;
}

export interface LeaseTerms {
  readonly leaseMs: number;
  /** An entry with less than this to live may be computed anew; 0 for none. */
  readonly earlyMs: number;
  /** How long the server may take to answer. */
  readonly timeoutMs: number;
}

/** A LEASE whose answer may be stored. */
interface Asked {
  readonly key: string;
  readonly pending: Pending;
  readonly sent: Sent;
}

interface Ticket extends Asked {
  readonly resolve: (granted: Granted | null) => void;
  readonly reject: (error: CacheError) => void;
}

export class Leases {
  /** How many connections have broken. */
  private connection = 0;
  /** Of this connection. */
  private readonly tickets = new Map<number, Ticket>();

  constructor(
    private readonly link: Connection,
    private readonly near: Rules,
  ) {}

  /** Resolves when it is known whether to compute. Rejects as a read does. */
  async ask(key: string, terms: LeaseTerms): Promise<Granted> {
    for (;;) {
      const granted = await this.askOnce(key, terms);
      if (granted !== null) return granted;
    }
  }

  /** Gives a lease back. Should that fail, the lease ends with its time. */
  release({ key, token, connection }: Lease): void {
    if (connection !== this.connection) return;
    this.link.ask({ op: Op.RELEASE, key, version: token }, released, false, {}).catch(() => {});
  }

  /**
   * Stores a computed value: with a lease while that is valid, without one where there is no entry. Rejects as a write does.
   * @param value is not changed any more
   */
  async fill(key: string, lease: Lease | null, value: Uint8Array, ttlMs?: number): Promise<void> {
    if (lease !== null && lease.connection !== this.connection) return;
    // R6: a write like any other.
    this.near.wrote(key);
    const pending = this.near.begin(key);
    const condition = lease === null ? Flag.PUT_IF_ABSENT : Flag.PUT_FILL;
    const flags = Flag.PUT_RETURN_VERSION | condition | this.watching(Flag.PUT_WATCH);
    const read = (reply: Reply, sent: Sent) => {
      if (reply.status === Status.REFUSED) return;
      if (reply.status !== Status.NUMBER) throw unexpected(reply);
      const until = expiryOf(sent.sentAt, ttlMs ?? null);
      this.near.store(copyOf(key, value, Number(reply.number), until), pending, sent);
    };
    try {
      await this.link.ask({ op: Op.PUT, flags, key, value, ttlMs, version: lease?.token }, read, false, {});
    } finally {
      this.near.end(pending);
    }
  }

  /** FILLED was pushed, after the PENDING with its ticket. What was changed since LEASE may have used the watch up. */
  filled(number: number, reply: Reply): void {
    const ticket = this.tickets.get(number);
    if (ticket === undefined) return;
    ticket.resolve(this.grant(ticket, reply, ticket.pending.floor === 0));
    this.tickets.delete(number);
  }

  broken(): void {
    this.connection++;
    for (const { resolve } of this.takeTickets()) resolve(null);
  }

  ended({ code, message }: Fate): void {
    for (const { reject } of this.takeTickets()) reject(new CacheError(code, message));
  }

  /** Null when the connection broke while a ticket was held. */
  private askOnce(key: string, terms: LeaseTerms): Promise<Granted | null> {
    const { leaseMs, earlyMs, timeoutMs } = terms;
    const pending = this.near.begin(key);
    const flags = Flag.LEASE_META | Flag.LEASE_WAIT | this.watching(Flag.LEASE_WATCH);
    const value = earlyMs > 0 ? u64Bytes(earlyMs) : undefined;
    // `sent` changes when the request is over, which it is with a PENDING.
    const read = (reply: Reply, { sentAt, isDone }: Sent) =>
      this.answered({ key, pending, sent: { sentAt, isDone } }, reply);
    const fields = { op: Op.LEASE, flags, key, value, ttlMs: leaseMs };
    const granted = this.link.ask(fields, read, true, { timeoutMs });
    const over = () => this.near.end(pending);
    granted.then(over, over);
    return granted;
  }

  private answered(asked: Asked, reply: Reply): Granted | Promise<Granted | null> {
    if (reply.status !== Status.PENDING) return this.grant(asked, reply);
    const granted = new Promise<Granted | null>((resolve, reject) => {
      this.tickets.set(reply.ticket, { ...asked, resolve, reject });
    });
    // Nobody takes what is granted to a request that was given up.
    granted.catch(() => {});
    return granted;
  }

  private grant(asked: Asked, reply: Reply, isWatched = true): Granted {
    const { key, pending, sent } = asked;
    const { status } = reply;
    if (status === Status.MISS) return { value: null, lease: null };
    if (status === Status.VALUE) return { value: reply.value, lease: null };
    if (status === Status.LEASED) return { value: null, lease: this.lease(asked, reply.token) };
    if (status !== Status.META_VALUE && status !== Status.HIT_LEASED) throw unexpected(reply);
    const { value, version, ttlMs } = reply;
    this.near.store(copyOf(key, value, version, expiryOf(sent.sentAt, ttlMs)), pending, sent, isWatched);
    return { value, lease: status === Status.HIT_LEASED ? this.lease(asked, reply.token) : null };
  }

  private lease({ key, sent }: Asked, token: number): Lease {
    const lease = { key, token, connection: this.connection };
    if (sent.isDone) this.release(lease);
    return lease;
  }

  private takeTickets(): Ticket[] {
    const tickets = [...this.tickets.values()];
    this.tickets.clear();
    return tickets;
  }

  private watching(flag: number): number {
    return this.near.isOn ? flag : 0;
  }
}

function released(reply: Reply): void {
  if (reply.status !== Status.OK && reply.status !== Status.MISS) throw unexpected(reply);
}
