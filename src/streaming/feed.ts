/**
 * What one connection watches and waits for, and what it has not been told yet. It belongs to the connection, and Streams works
 * on it: a connection makes one when it opens and closes it when it ends, and then nothing of it is left.
 */
import { PushWriter } from "../protocol/push";

/** A ticket without its key, about. */
export const TICKET_BYTES = 256;

/** What a feed needs of its connection. */
export interface FeedOwner {
  /** There is something to tell; called after all that was read has been handed out. */
  onNews(): void;
  /** The gathered pushes are at their bound. Sends them where the client reads; false where it does not. */
  makeRoom(): boolean;
}

/** A lease that ends with the connection. */
export interface HeldLease {
  readonly key: Buffer;
  readonly token: number;
}

export class Feed {
  /** Pushes that have not been sent. */
  readonly pushes = new PushWriter();
  /** Tickets whose answer may be there now, oldest first. */
  readonly due: Ticket[] = [];
  /** Requests come as JSON text at the moment; so did the latest one that watched. */
  executesText = false;
  isText = false;
  /** Its number in the watch table; another one after all its single-key watches became void. */
  watcher = 0;
  /** Single keys that it watches. */
  keys = 0;
  /** Places of the prefixes that it watches. */
  readonly prefixes: number[] = [];
  /** All its tickets that are not answered. */
  readonly tickets = new Set<Ticket>();
  /** Leases that it was given and has not brought back, as far as is known here. */
  readonly leases = new Map<string, HeldLease>();
  /** A lease that it is given ends with it. */
  holdsLeases = true;
  lastTicket = 0;
  /** The change that it was told of last: a key may be watched by itself and by its prefixes. */
  toldOf = 0;
  isClosed = false;

  /** @param number tells connections of a worker apart; above 0 */
  constructor(
    readonly number: number,
    readonly owner: FeedOwner,
  ) {}
}

/** What was asked for, and how its answer has to look. */
export interface TicketWish {
  readonly leaseMs: number;
  readonly watches: boolean;
  readonly withMeta: boolean;
}

export class Ticket {
  isDue = false;
  /** When the lease that is out will have ended, on the store's clock. */
  deadline = 0;

  constructor(
    readonly number: number,
    readonly feed: Feed,
    readonly key: Buffer,
    readonly wish: TicketWish,
    readonly isText: boolean,
    /** Of the shard and the hash of its key. */
    readonly group: number,
  ) {}

  get bytes(): number {
    return TICKET_BYTES + this.key.length;
  }
}
