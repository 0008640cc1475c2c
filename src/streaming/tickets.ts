/**
 * Who waits on this worker for values that somebody else computes. A ticket is due when the lease it waits for may have ended; its
 * connection then asks for the lease again, and gets the value, the lease, or has to wait on.
 *
 * Invariant: a ticket is in its feed's `tickets` and in the group of its key until it is over, and in `due` of its feed at most once.
 */
import type { HashedKey } from "../store/hash";
import { type Feed, Ticket, TICKET_BYTES, type TicketWish } from "./feed";

/** Tickets of one connection. */
export const TICKETS_MAX = 65_536;
const TWO_32 = 2 ** 32;

export class Tickets {
  count = 0;
  private bytes = 0;
  /** Oldest first. */
  private readonly groups = new Map<number, Set<Ticket>>();
  /** No lease that somebody waits for ends before. */
  private nextDeadline = Infinity;

  /**
   * @param onDue told of each ticket that has become due
   * @param onCount told of tickets more or less
   */
  constructor(
    private readonly bytesMax: number,
    private readonly onDue: (feed: Feed) => void,
    private readonly onCount: (more: number) => void,
  ) {}

  /** Whether this connection may wait for another key of so many bytes. */
  hasRoomFor(feed: Feed, keyBytes: number): boolean {
    return feed.tickets.size < TICKETS_MAX && this.bytes + TICKET_BYTES + keyBytes <= this.bytesMax;
  }

  /** A connection waits for this key. Its ticket's number is above 0. */
  open(feed: Feed, shard: number, key: HashedKey, wish: TicketWish): Ticket {
    feed.lastTicket = (feed.lastTicket + 1) % TWO_32 || 1;
    const bytes = Buffer.from(key.bytes.subarray(key.start, key.end));
    const group = groupOf(shard, key.hash);
    const ticket = new Ticket(feed.lastTicket, feed, bytes, wish, feed.executesText, group);
    feed.tickets.add(ticket);
    const others = this.groups.get(group);
    if (others === undefined) this.groups.set(group, new Set([ticket]));
    else others.add(ticket);
    this.note(1, ticket.bytes);
    return ticket;
  }

  /** It waits on, for a lease that ends then at the latest. */
  wait(ticket: Ticket, deadline: number): void {
    ticket.isDue = false;
    ticket.deadline = deadline;
    this.nextDeadline = Math.min(this.nextDeadline, deadline);
  }

  /** The lease that it waits for may have ended. */
  makeDue(ticket: Ticket): void {
    if (ticket.isDue) return;
    ticket.isDue = true;
    ticket.feed.due.push(ticket);
    this.onDue(ticket.feed);
  }

  /** It is answered, or nobody waits for the answer. */
  close(ticket: Ticket): void {
    if (!ticket.feed.tickets.delete(ticket)) return;
    const others = this.groups.get(ticket.group)!;
    others.delete(ticket);
    if (others.size === 0) this.groups.delete(ticket.group);
    this.note(-1, -ticket.bytes);
  }

  /** The lease on a key has ended. */
  ended(shard: number, hash: number): void {
    for (const ticket of this.groups.get(groupOf(shard, hash)) ?? []) this.makeDue(ticket);
  }

  /** Leases that may have ended without a word: their time is over. */
  look(now: number): void {
    if (now < this.nextDeadline) return;
    this.nextDeadline = Infinity;
    for (const group of this.groups.values())
      for (const ticket of group)
        if (ticket.deadline <= now) this.makeDue(ticket);
        else this.nextDeadline = Math.min(this.nextDeadline, ticket.deadline);
  }

  /** Any lease may have ended. */
  suspectAll(): void {
    for (const group of this.groups.values()) for (const ticket of group) this.makeDue(ticket);
  }

  /** Throws where the state contradicts itself; for tests. */
  invariants(): void {
    let count = 0;
    let bytes = 0;
    for (const [number, group] of this.groups) {
      if (group.size === 0) throw new Error("an empty group is kept");
      for (const ticket of group) {
        count++;
        bytes += ticket.bytes;
        const { feed } = ticket;
        if (ticket.group !== number) throw new Error(`ticket ${ticket.number} is in another group`);
        if (!feed.tickets.has(ticket)) throw new Error(`ticket ${ticket.number} is not its feed's`);
        const due = feed.due.filter((other) => other === ticket).length;
        if (due !== (ticket.isDue ? 1 : 0)) throw new Error(`ticket ${ticket.number} is due ${due} times`);
      }
    }
    if (count !== this.count || bytes !== this.bytes) throw new Error("tickets are not counted");
  }

  private note(more: number, bytes: number): void {
    this.count += more;
    this.bytes += bytes;
    this.onCount(more);
  }
}

function groupOf(shard: number, hash: number): number {
  return shard * TWO_32 + (hash >>> 0);
}
