/** What the server tells by itself, and the client's own writes, told to everything that keeps something of the cache. */
import { Op } from "../protocol/wire";
import type { Reply } from "./codec";
import { Runs } from "./compute";
import type { Connection, Fate, Follower } from "./connection";
import { CacheError } from "./errors";
import { Leases } from "./leases";
import { Rules } from "./near/rules";
import type { NearBounds } from "./options";
import { Waits } from "./waits";
import { Watches } from "./watches";

export class Streams implements Follower {
  readonly near: Rules;
  readonly runs: Runs;
  readonly watches: Watches;
  private readonly leases: Leases;

  /** `bounds` is null for a client without a near cache. */
  constructor(link: Connection, bounds: NearBounds | null) {
    const waits = new Waits(link.clock, () => link.obstacle);
    this.near = new Rules(link, waits, bounds);
    this.leases = new Leases(link, this.near);
    this.runs = new Runs(link, this.near, this.leases, waits);
    this.watches = new Watches(link);
    link.follow(this);
  }

  /** R6: a write is about to be sent. */
  wrote(op: number, key: string): void {
    if (op === Op.CLEAR) {
      this.near.cleared(key);
      this.runs.forgetUnder(key);
    } else {
      this.near.wrote(key);
      this.runs.forget(key);
    }
  }

  /** Who iterates over changes comes last, and finds the copies as they are now. */
  changed(key: string, version: number): void {
    this.near.changed(key, version);
    this.runs.forget(key);
    this.watches.changed(key, version);
  }

  reset(prefix: string): void {
    this.near.reset(prefix);
    this.runs.forgetUnder(prefix);
    this.watches.reset(prefix);
  }

  filled(ticket: number, reply: Reply): void {
    this.leases.filled(ticket, reply);
  }

  broken(): void {
    this.near.broken();
    this.leases.broken();
    this.watches.broken();
  }

  ended(fate: Fate): void {
    this.near.ended();
    this.leases.ended(fate);
    this.watches.ended(fate);
    // A client whose token is good no more still gives its callers what they compute.
    if (fate.code === "closed") this.runs.closed(new CacheError(fate.code, fate.message));
  }
}
